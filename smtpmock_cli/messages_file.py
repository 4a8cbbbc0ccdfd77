"""MessagesFile: the records as they come, for others to read.

Invariants: a record is one line and one write, its line feed comes last, and what is left of a write
that failed is taken back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress

from .errors import ServerStartError, reason
from .message import Message

# A named pipe that nobody reads yet must not stop the server; regular files do not know the flag.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class MessagesFile:
    """One JSON line per message, appended.

    It is opened for each line, so that a file that was renamed or removed meanwhile is made anew.

    :param trouble: told in words, once, that a message could not be written.
    :raises ServerStartError: the file cannot be written to.
    """

    def __init__(self, path: str, trouble: Callable[[str], None]) -> None:
        self._path = path
        self._trouble = trouble
        self._in_trouble = False
        try:
            os.close(self._open())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise ServerStartError(f"Failed to write messages file {path}: {reason(error)}") from error

    def append(self, message: Message) -> None:
        line = json.dumps(message.as_json()).encode("ascii") + b"\n"
        try:
            self._write(line)
        except OSError as error:
            if not self._in_trouble:
                self._in_trouble = True
                self._trouble(f"write {self._path}: {reason(error)}")

    def _open(self) -> int:
        return os.open(self._path, _APPEND, 0o666)

    def _write(self, line: bytes) -> None:
        fd, written = self._open(), 0
        try:
            while written < len(line):
                written += os.write(fd, line[written:])
        except OSError:
            _take_back(fd, written)
            raise
        finally:
            os.close(fd)


def _take_back(fd: int, count: int) -> None:
    """Cut off the bytes just written; they stay in a pipe, and where somebody wrote behind them."""
    with suppress(OSError):
        end = os.lseek(fd, 0, os.SEEK_CUR)
        if end == os.fstat(fd).st_size:
            os.ftruncate(fd, end - count)
