"""PortFile: tells who started the server which ports it took.

Invariants: the file is there as a whole, or not at all; nothing is written through a link that somebody else has
planted, and nothing is removed but the file that was written here, whoever can write to the folder.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from .errors import ServerStartError, reason

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# A pipe that has taken the file's place would keep the stop waiting for somebody who writes to it.
_LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LONGEST = 1000
"""Bytes that are read of a file in the place of ours."""
_ATTEMPTS = 100


class PortFile:
    """``{"smtp": N, "http": M}``, null for what is not served, while the server listens.

    :raises ServerStartError: it cannot be written.
    """

    def __init__(self, path: str, *, smtp: int, http: int | None) -> None:
        self._path = path
        # Not: json, and pathlib below, which cost a tenth of the time in which a server has to listen.
        self._content = f'{{"smtp": {smtp}, "http": {"null" if http is None else http}}}\n'.encode("ascii")
        try:
            _refuse_what_is_no_file(path)
            self._file = self._write()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise ServerStartError(f"Failed to write port file {path}: {reason(error)}") from error

    def remove(self) -> None:
        """Remove the file, if it is still the one that was written here."""
        with suppress(OSError, ValueError):
            fd = os.open(self._path, _LOOK)
            try:
                # The content too, because the number of a file that is gone is given out again.
                is_ours = _identity(fd) == self._file and os.read(fd, _LONGEST) == self._content
            finally:
                os.close(fd)
            if is_ours:
                os.unlink(self._path)  # noqa: PTH108

    def _write(self) -> tuple[int, int]:
        """Under another name first, so that nobody reads half of it; returns which file it is."""
        work, fd = _create_beside(self._path)
        try:
            with open(fd, "wb") as file:  # noqa: PTH123
                file.write(self._content)
                written = _identity(fd)
            os.replace(work, self._path)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(work)  # noqa: PTH108
            raise
        return written


def read(path: str) -> tuple[int, int | None]:
    """The ports of SMTP and of HTTP that a server has written.

    :raises OSError: the file cannot be read.
    :raises ValueError: its content is not a server's.
    """
    from re import fullmatch  # only here: not for a server

    fd = os.open(path, _READ)
    try:
        content = os.read(fd, _LONGEST)
    finally:
        os.close(fd)
    # Not: json, as above; nobody but us writes it.
    found = fullmatch(rb'{"smtp": ([0-9]+), "http": ([0-9]+|null)}\n', content)
    if found is None:
        raise ValueError("not that of a server")
    smtp, http = found.groups()
    return int(smtp), None if http == b"null" else int(http)


def _refuse_what_is_no_file(path: str) -> None:
    """Not: put in the place of everything, because root would replace /dev/null."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(0, "is a directory")
    if not stat.S_ISREG(mode):
        raise OSError(0, "not a regular file")


def _create_beside(path: str) -> tuple[str, int]:
    """A new, empty file in the same folder, open for writing: its path and its descriptor."""
    folder = os.path.dirname(path)  # noqa: PTH120
    for _ in range(_ATTEMPTS):
        # Not: the path with the process's number behind it, which somebody else can foresee, and which may be too long.
        work = os.path.join(folder, f".{os.urandom(8).hex()}")  # noqa: PTH118
        with suppress(FileExistsError):
            return work, os.open(work, _CREATE, 0o666)
    raise FileExistsError(0, "file exists")


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
