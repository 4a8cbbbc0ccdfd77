"""Sinks: where lines go, though nobody may read them, or a disk may be full.

    Sink          nowhere: nothing was given, or what was given is gone for good
    ├── Stream    a pipe, a socket, a terminal: what its reader does not take waits
    └── File      anything else, a disk or a device: it takes a line at once, or the line is lost

Invariants: a sink is given whole lines only. A line that was begun is finished before anything else is written;
where it cannot be, it is taken back or fenced off by a line feed, so that no other line suffers. No reader is waited
for longer than a sink was told to. What waits is bounded, what is lost is counted, and as soon as there is room
again, ``notice`` says how much that was.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from .errors import reason

Write = Callable[[memoryview], int | None]
"""Takes some of these bytes, and returns how many; None is none."""

_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes as a whole, or not at all; at least 512 by POSIX, and Windows has none of such pipes."""
_PATIENCES = 5
"""So many times its patience, and no longer, a reader is waited for that always takes some."""
_GONE = frozenset((errno.EBADF, errno.ECONNRESET, errno.EINVAL, errno.EPIPE))
"""What a write to a file fails by that is closed. On Windows, a pipe without a reader is an invalid argument."""


class Sink:
    """Leads nowhere; the base of those that lead somewhere."""

    is_open = False
    fd = -1

    def __init__(self) -> None:
        self.lines: list[str] = []
        """Lines that its owner collects for the next write."""
        self.is_awaited = False
        """Whether its owner is called back when the reader takes bytes."""
        self.lost = 0
        """How many lines are lost, of which ``notice`` has not said so."""
        self.notice: Callable[[int, str], bytes] = lambda lost, why: b""
        """Called with a number of lost lines and the reason; returns what to write in their place."""

    @property
    def has_backlog(self) -> bool:
        """Whether something waits for a reader."""
        return False

    def write(self, data: bytes, count: int, limit: int | None = None) -> None:
        """Write so many lines, or count them as lost.

        :param limit: bytes that may wait before these, where that is another number than for all others.
        """

    def drain(self, patience: float | None = 0.0) -> bool:
        """Write what has had to wait; returns whether nothing waits any more.

        :param patience: seconds within which a reader has to take some of it each time; None is as long as it takes.
        """
        return True

    def close(self) -> None:
        """Give back what was opened for it."""


class Stream(Sink):
    """What only takes bytes while its reader does.

    :param fd: written to only when it takes bytes; -1 while there is no reader.
    :param limit: bytes that may wait; lines that come when there are more are lost.
    :param patience: seconds within which the reader has to take some of what waits, before a line is lost.
    :param at_once: bytes after which the rest has to wait, though the reader might take it.
    """

    def __init__(self, fd: int, *, limit: int, patience: float = 0.0, at_once: int = sys.maxsize) -> None:
        super().__init__()
        self.fd = fd
        self.is_open = True
        self._limit = limit
        self._patience = patience
        self._at_once = at_once
        self._backlog = bytearray()
        self._is_overrun = False

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def write(self, data: bytes, count: int, limit: int | None = None) -> None:
        if self.is_open and not self._has_room(limit):
            self.lost += count
        elif self.is_open:
            self._queue(data)

    def _has_room(self, limit: int | None) -> bool:
        if limit is not None:
            return len(self._backlog) <= limit
        if len(self._backlog) > self._limit and not self._is_overrun:
            self.drain(self._patience)
            if len(self._backlog) > self._limit:
                self._is_overrun = True
                self.overrun()
        return not self._is_overrun

    def _queue(self, data: bytes) -> None:
        was_waiting = self.has_backlog
        self._backlog += data
        if not was_waiting:
            self.drain()

    def drain(self, patience: float | None = 0.0) -> bool:
        self._write_backlog(patience)
        if self.lost and not self._backlog and self.is_open:
            lost, self.lost, self._is_overrun = self.lost, 0, False
            self._backlog += self.notice(lost, ", because nobody read them")
            self._write_backlog(0.0)
        return not self._backlog

    def overrun(self) -> None:
        """Called when lines are lost from now on, because too much waits."""

    def written(self, data: bytearray) -> None:
        """Called with what the system has taken."""

    def reader_left(self, error: OSError) -> None:
        """Called when nobody reads any more."""
        self.give_up()

    def give_up(self) -> None:
        """Write no more, and forget what waits."""
        self.is_open = False
        self._backlog.clear()
        self.lost = 0

    def _write_backlog(self, patience: float | None) -> None:
        end = None if patience is None else time.monotonic() + _PATIENCES * patience
        rest = sys.maxsize if patience is None or patience > 0 else self._at_once
        try:
            while self._backlog and rest > 0 and self._takes_more(patience, end):
                # Whole lines, because another process may write to the same pipe.
                size = self._backlog.rfind(b"\n", 0, _PIPE_BUF) + 1 or _PIPE_BUF
                size = os.write(self.fd, self._backlog[:size])
                self.written(self._backlog[:size])
                del self._backlog[:size]
                rest -= size
        except BlockingIOError:  # a terminal that has become full
            return
        except OSError as error:
            self.reader_left(error)

    def _takes_more(self, patience: float | None, end: float | None) -> bool:
        """Whether it takes bytes, or fails, within so many seconds and before the end."""
        if self.fd < 0:
            return False
        if patience is None or end is None:
            return _is_writable(self.fd, None)
        return _is_writable(self.fd, max(0.0, min(patience, end - time.monotonic())))


class File(Sink):
    """What takes all bytes at once, or fails.

    :param fd: its descriptor, or -1.
    :param failed: called once when it begins to fail, and again only after it has taken a line.
    """

    def __init__(self, write: Write, fd: int, failed: Callable[[OSError], None]) -> None:
        super().__init__()
        self.is_open = True
        self.fails = False
        """Whether the last line was lost."""
        self._fd = fd
        self._write = write
        self._failed = failed
        self._why = ""
        self._whole = WholeLines()

    def write(self, data: bytes, count: int, limit: int | None = None) -> None:
        if not self.is_open:
            return
        notice = self.notice(self.lost, self._why) if self.lost else b""
        try:
            unwritten, error = self._whole.append(self._write, self._fd, notice + data)
        except ValueError:  # closed on our side
            self.is_open = False
            return
        if notice and unwritten <= count:
            self.lost = 0
        self.lost += min(unwritten, count)
        if error is None:
            self.fails = False
        elif isinstance(error, BrokenPipeError) or error.errno in _GONE:
            self.is_open = False
        else:
            self._note(error)

    def drain(self, patience: float | None = 0.0) -> bool:
        if self.lost and self.is_open:
            self.write(b"", 0)
        return True

    def _note(self, error: OSError) -> None:
        self._why = f": {reason(error)}"
        if not self.fails:
            self.fails = True
            self._failed(error)


class WholeLines:
    """Appends lines to a file; of one that does not fit, nothing stays.

    :param is_torn: whether the file ends in the middle of a line.
    """

    def __init__(self, *, is_torn: bool = False) -> None:
        self._is_torn = is_torn

    def append(self, write: Write, fd: int, lines: bytes) -> tuple[int, OSError | None]:
        """Write the lines; returns how many of them were not written, and why."""
        data = b"\n" + lines if self._is_torn else lines
        done, error = _write_all(write, memoryview(data))
        if error is None:
            self._is_torn = False
            return 0, None
        whole = data.rfind(b"\n", 0, done) + 1
        if done:
            self._is_torn = done > whole and not _take_back(fd, done - whole)
        return min(data.count(b"\n", whole), lines.count(b"\n")), error


def _write_all(write: Write, data: memoryview) -> tuple[int, OSError | None]:
    """Returns how many bytes were written, and why no more."""
    done = 0
    try:
        while done < len(data):
            count = write(data[done:])
            if count is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            done += count
    except OSError as error:
        return done, error
    return done, None


def _take_back(fd: int, count: int) -> bool:
    """Cut off the bytes just written; returns whether that could be done, which it can't where others wrote behind."""
    with suppress(OSError):
        end = os.lseek(fd, 0, os.SEEK_CUR)
        if end == os.fstat(fd).st_size:
            os.ftruncate(fd, end - count)
            # Else the next line would leave a hole, where the file was not opened for appending.
            os.lseek(fd, end - count, os.SEEK_SET)
            return True
    return False


def has_reader(fd: int, mode: int) -> bool:
    """Whether this is a pipe, a socket or a terminal, of which the system says when it takes bytes.

    :param mode: what ``fstat`` says of the descriptor's kind.
    """
    if stat.S_ISREG(mode) or not hasattr(select, "poll"):  # Windows has none
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


def _is_writable(fd: int, seconds: float | None) -> bool:
    """Whether it takes bytes, or fails, within this time; None waits as long as it takes."""
    ready: list[tuple[int, int]] = []
    if sys.platform != "win32":
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        ready = poll.poll(None if seconds is None else seconds * 1000)
    return bool(ready)


def identity(status: os.stat_result) -> tuple[int, int] | None:
    """Which file it is, whatever the descriptor; None where the system does not say."""
    return (status.st_dev, status.st_ino) if status.st_ino else None
