"""The command: flags and environment → Configuration → Server → exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from .configuration import Configuration
from .errors import ConfigurationError, ServerStartError, reason
from .flags import GoCommand, HelpRequested, VariableError, in_utf8, refusal

if TYPE_CHECKING:
    from .server import Server

USAGE_ERROR = 2
START_ERROR = 1
NOT_READY = 1


def prepare(arguments: list[str]) -> Server | int:
    """Read the command line and the environment; returns the server that they ask for, or else the exit code."""
    command = GoCommand("smtpmock", _run)
    try:
        prepared: Server | int = command.main(arguments, prog_name="smtpmock", standalone_mode=False)
    except HelpRequested:
        _complain(_usage(command))
        return 0
    except VariableError as error:
        # Not: with the usage, which is about the command line, and would hide the one line in a container's log.
        _complain(error.message)
        return USAGE_ERROR
    except click.UsageError as error:
        _complain(f"{error.message}\n{_usage(command)}")
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


def _run(*, words: list[str], version: bool, ready: bool, **values: Any) -> Server | int:
    if version:
        return _print_version()
    if words:
        raise click.UsageError(f"unexpected argument: {in_utf8(words[0])}")
    try:
        configuration = Configuration(**values)
    except ConfigurationError as error:
        raise refusal(click.get_current_context(), error) from None
    if ready:
        return _ask(configuration)
    from .server import Server  # it is there already: __main__.load()

    return Server(configuration, keep_messages=False)


def _print_version() -> int:
    from .version import VERSION, build  # only here

    commit, built_at = build()
    try:
        _write(sys.stdout, f"smtpmock: {VERSION}\ncommit: {commit}\nbuilt at: {built_at}")
    except OSError as error:
        return _fail(f"Failed to write the version: {reason(error)}")
    return 0


def _ask(configuration: Configuration) -> int:
    from .ready import check  # as above

    # Not: Python's handler, which would print a traceback; and a shell's loop goes on unless the signal was deadly.
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    is_ready, line = check(configuration)
    with suppress(OSError):
        _write(sys.stdout if is_ready else sys.stderr, in_utf8(line))
    return 0 if is_ready else NOT_READY


def _usage(command: GoCommand) -> str:
    return command.get_help(click.Context(command))


def _fail(text: str) -> int:
    try:
        from .log import stamp  # it is there already, as above

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
