"""The command: flags → Configuration → Server → exit code."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from .configuration import Configuration
from .errors import ConfigurationError, ServerStartError
from .flags import GoCommand, in_flags
from .log import stamp
from .server import Server
from .version import VERSION, build

USAGE_ERROR = 2
START_ERROR = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon until a signal; gives the exit code.

    :param arguments: the command line without the program's name; None for the process's own.
    """
    command = GoCommand("smtpmock", _run)
    try:
        code = command.main(
            sys.argv[1:] if arguments is None else arguments, prog_name="smtpmock", standalone_mode=False
        )
    except (click.UsageError, ConfigurationError) as error:
        click.echo(error.message if isinstance(error, click.UsageError) else in_flags(str(error)), err=True)
        click.echo(command.get_help(click.Context(command)), err=True)
        return USAGE_ERROR
    return int(code)


def _run(*, words: list[str], version: bool, **values: Any) -> int:
    if version:
        return _print_version()
    if words:
        raise click.UsageError(f"unexpected argument: {words[0]}")
    try:
        Server(Configuration(**values), keep_messages=False).serve(is_last=True)
    except ServerStartError as error:
        click.echo(f"{stamp(time.time())} {error}", err=True)
        return START_ERROR
    return 0


def _print_version() -> int:
    commit, built_at = build()
    click.echo(f"smtpmock: {VERSION}\ncommit: {commit}\nbuilt at: {built_at}")
    return 0
