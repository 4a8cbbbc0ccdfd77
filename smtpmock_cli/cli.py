"""The command: flags → Configuration → Server → exit code."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from typing import Any

import click

from .configuration import Configuration
from .errors import ConfigurationError, ServerStartError, reason
from .flags import GoCommand, HelpRequested, in_flags, in_utf8
from .log import stamp
from .server import Server
from .version import VERSION, build

USAGE_ERROR = 2
START_ERROR = 1


def prepare(arguments: list[str]) -> Server | int:
    """Read the command line; returns the server that it asks for, or the exit code where it asks for none."""
    command = GoCommand("smtpmock", _run)
    try:
        prepared: Server | int = command.main(arguments, prog_name="smtpmock", standalone_mode=False)
    except HelpRequested:
        _complain(_usage(command))
        return 0
    except (click.UsageError, ConfigurationError) as error:
        fault = error.message if isinstance(error, click.UsageError) else in_flags(str(error))
        _complain(f"{fault}\n{_usage(command)}")
        return USAGE_ERROR
    return prepared


def serve(server: Server) -> int:
    """Serve until a signal; returns the exit code."""
    try:
        server.serve(is_last=True)
    except ServerStartError as error:
        text = str(error)
    else:
        return 0
    # Not: above, because where memory is short, the error keeps what little there is.
    return _fail(in_utf8(text))


def _run(*, words: list[str], version: bool, **values: Any) -> Server | int:
    if version:
        return _print_version()
    if words:
        raise click.UsageError(f"unexpected argument: {in_utf8(words[0])}")
    return Server(Configuration(**values), keep_messages=False)


def _print_version() -> int:
    commit, built_at = build()
    try:
        _write(sys.stdout, f"smtpmock: {VERSION}\ncommit: {commit}\nbuilt at: {built_at}")
    except OSError as error:
        return _fail(f"Failed to write the version: {reason(error)}")
    return 0


def _usage(command: GoCommand) -> str:
    return command.get_help(click.Context(command))


def _fail(text: str) -> int:
    try:
        line = f"{stamp(time.time())} {text}"
    except MemoryError:
        line = text
    _complain(line)
    return START_ERROR


def _complain(text: str) -> None:
    """Write to stderr; where that fails, the exit code alone tells."""
    with suppress(OSError):
        _write(sys.stderr, text)


def _write(stream: Any, text: str) -> None:
    """Write a line in UTF-8, whatever the locale, so that an argument's bytes go out as they came.

    :raises OSError: the stream is closed, or its end takes nothing.
    """
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    binary = getattr(stream, "buffer", None)
    if binary is None:  # a caller's own, which has only text
        stream.write(f"{text}\n")
        return
    stream.flush()
    # Not: into its buffer, because what is stuck there fails again when the process ends.
    raw = getattr(binary, "raw", binary)
    rest = f"{text}\n".encode("utf-8", "surrogateescape")
    while rest:
        rest = rest[raw.write(rest) or 0 :]
