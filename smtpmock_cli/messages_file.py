"""MessagesFile: the records as they come, for others to read.

    a file           opened for each record; one that fails is taken back or fenced off, and counted as missing
    a named pipe     held open while somebody reads it; what its reader does not take waits, as what comes while
                     there is no reader does
    a stream of the log's, as /dev/stderr is: written by the log, in order with its lines
    stdout           the log goes to stderr instead, so that whatever reads stdout gets JSON only

Invariants: a record is one line, whose line feed comes last; no other record suffers from one that could not be
written; no reader is waited for; what is missing is said on stderr, with or without a log.
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import sys
from _thread import allocate_lock, start_new_thread  # Not: threading, which costs the daemon 5 ms of its start
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE

from .errors import ServerStartError, reason
from .log import LAST_PATIENCE, Log
from .log_sink import Stream, WholeLines, has_reader, identity
from .message import Message

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from _thread import LockType

    from .net.loop import Loop, Watch

WAITING_LIMIT = 64 * 1024 * 1024
"""Bytes that may wait for the reader of a named pipe; messages that come when there are more are missing."""
_AT_ONCE = 256 * 1024
"""Bytes that a reader gets in one turn of the loop, so that nobody has to wait for it."""
_IN_PIPE = 128 * 1024
"""Bytes of which it is not asked how many of them the reader has taken out of the pipe."""
_RELEASE = 1.0
"""Seconds that a thread may take to return from open(), which it has just been let out of."""
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
# A named pipe that nobody reads yet must not stop the server; regular files do not know the flag.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NON_BLOCKING
_APPEND |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_LOOK = os.O_RDONLY | _NON_BLOCKING | getattr(os, "O_BINARY", 0)


class MessagesFile:
    """One JSON line per message, appended.

    A file that was renamed or removed meanwhile is made again.

    :raises ServerStartError: it cannot be written to.
    """

    def __init__(self, path: str, log: Log, loop: Loop) -> None:
        self._path = path
        self._log = log
        self._loop = loop
        self._pipe: _Pipe | None = None
        self._file: tuple[int, int] | None = None
        self._whole = WholeLines()
        self._trouble = ""
        self._count = 0
        """How many messages are missing since the trouble began."""
        try:
            self._write(b"")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise ServerStartError(f"Failed to write messages file {path}: {reason(error)}") from error

    def append(self, message: Message) -> None:
        try:
            self._write(json.dumps(message.as_json()).encode("ascii") + b"\n")
        except OSError as error:
            self._failed(error, 1)

    def close(self) -> None:
        """Give a reader what waits for it, if it comes to take it now, and say what is missing for good."""
        if self._pipe is not None:
            self._pipe.close()
        if self._count:
            self._say(_missing(self._count))

    def _write(self, line: bytes) -> None:
        """Write a line, or none, to whatever the path leads to now."""
        if self._pipe is not None and self._pipe.fd >= 0:
            self._pipe.write(line, 1)
            return
        fd = self._open()
        if fd < 0:
            self._write_to_pipe(fd, line)
            return
        status = os.fstat(fd)
        file = identity(status)
        stream = self._log.stream_of(file)
        if stream is None and has_reader(fd, status.st_mode):
            self._write_to_pipe(fd, line)  # which keeps it
            return
        try:
            if stream is not None:
                self._log.write_line(stream, line, WAITING_LIMIT)
            else:
                self._write_to_file(fd, file, line)
        finally:
            os.close(fd)

    def _open(self) -> int:
        """A descriptor for the path; -1 where it is a named pipe that nobody reads."""
        try:
            return os.open(self._path, _APPEND, 0o666)
        except OSError as error:
            if (own := _own_stream(self._path)) >= 0:
                return own
            if error.errno != errno.ENXIO:
                raise
            mode = os.stat(self._path).st_mode  # noqa: PTH116
            if stat.S_ISFIFO(mode):
                return -1
            raise

    def _write_to_pipe(self, fd: int, line: bytes) -> None:
        if self._pipe is None or not self._pipe.is_open:
            self._pipe = _Pipe(self._path, self._loop, self._say, self._failed)
        if fd >= 0:
            self._pipe.attach(fd)
        else:
            self._pipe.await_reader()
        self._pipe.write(line, 1)
        if self._pipe.is_open:
            self._succeeded()

    def _write_to_file(self, fd: int, file: tuple[int, int] | None, line: bytes) -> None:
        if self._pipe is not None:  # whose path leads to a file now
            line = self._pipe.take_waiting() + line
        if not line:
            return
        if file is None or file != self._file:
            self._file = file
            self._whole = WholeLines(is_torn=_ends_within_line(self._path))
        unwritten, error = self._whole.append(partial(os.write, fd), fd, line)
        if error is None:
            self._succeeded()
        else:
            self._failed(error, unwritten)

    def _succeeded(self) -> None:
        if self._trouble:
            self._say(f"possible again, {_missing(self._count)}")
            self._trouble, self._count = "", 0

    def _failed(self, error: OSError, count: int) -> None:
        """So many messages are missing; say why, once for each trouble."""
        self._count += count
        if self._trouble != reason(error):
            self._trouble = reason(error)
            self._say(self._trouble)

    def _say(self, text: str) -> None:
        self._log.alarm(f"write {self._path}: {text}")


class _Pipe(Stream):
    """A named pipe, whose readers come and go; or a socket or a terminal, whose reader goes for good.

        waiting     a thread is in open() until somebody reads, because nothing else tells of a reader
        attached    the loop calls when the pipe takes bytes, and when its reader has left

    A reader that leaves in the middle of a line takes that line with it; what it has left unread is for the next.

    :param say: called with words for stderr.
    :param failed: called when the reader has gone for good, with the number of messages that it leaves behind.
    """

    def __init__(
        self, path: str, loop: Loop, say: Callable[[str], None], failed: Callable[[OSError, int], None]
    ) -> None:
        super().__init__(-1, limit=WAITING_LIMIT, at_once=_AT_ONCE)
        self.notice = self._say_lost
        self._path = path
        self._loop = loop
        self._say = say
        self._failed = failed
        self._watch: Watch | None = None
        self._is_named = True
        self._is_closed = False
        self._unread = bytearray(b"\n")
        """What the reader may not have taken out of the pipe yet, behind the byte before it."""
        self._awaited: tuple[int, int] | None = None
        """The pipe whose reader a thread waits for."""
        self._returned = allocate_lock()
        self._opened: list[int] = []

    def attach(self, fd: int) -> None:
        """Write to a descriptor, which belongs to the pipe from now on."""
        self.fd = fd
        self._is_named = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._unread[:] = b"\n"
        self._watch = self._loop.watch(fd, self._ready)
        self.drain()
        self._wait()

    def await_reader(self) -> None:
        """Attach to whoever opens the pipe for reading."""
        pipe = _identity_of(self._path)
        if self._is_closed or pipe is None or pipe == self._awaited:
            return  # where there is none, the next message looks for it again
        self._returned = allocate_lock()
        self._returned.acquire()
        with suppress(RuntimeError):  # there may be no more threads; the next message tries again
            start_new_thread(self._open, (self._returned,))
            self._awaited = pipe

    def write(self, data: bytes, count: int, limit: int | None = None) -> None:
        super().write(data, count, limit)
        self._wait()

    def take_waiting(self) -> bytes:
        """What waits for a reader, which is no more to come."""
        waiting = bytes(self._backlog)
        self._backlog.clear()
        self.drain()
        return waiting

    def close(self) -> None:
        self._is_closed = True
        self.drain(LAST_PATIENCE)
        self._end_waiting()
        if self._watch is not None:
            self._watch.close()
            os.close(self.fd)
        lost = self.lost + self._backlog.count(b"\n")
        if lost:
            self._say_lost(lost, ", because nobody read them")

    def written(self, data: bytearray) -> None:
        self._unread += data
        if len(self._unread) > _IN_PIPE:
            del self._unread[: -_unread_in(self.fd) - 1]

    def reader_left(self, error: OSError) -> None:
        fd, self.fd = self.fd, -1
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._is_named:
            self._take_back_unread(fd)
        os.close(fd)
        if self._is_named:
            self.await_reader()
            return
        lost = self.lost + self._backlog.count(b"\n")
        self.give_up()
        self._failed(error, lost)

    def overrun(self) -> None:
        self._say(f"{self._limit >> 20} MiB wait for its reader, and messages are missing from now on")

    def _take_back_unread(self, fd: int) -> None:
        self._backlog[:0] = self._unread[-_unread_in(fd) - 1 :]
        # The byte before it is a line feed where the reader has taken whole lines.
        begun = self._backlog.find(b"\n")
        del self._backlog[: begun + 1]
        if begun:
            self._say("its reader left in the middle of a message, which is missing")

    def _wait(self) -> None:
        if self._watch is not None:
            # A pipe's writing end is never readable, and fails when its last reader leaves, whatever is waited for.
            self._watch.wait_for(EVENT_WRITE if self._backlog else EVENT_READ if self._is_named else 0)

    def _ready(self) -> None:
        if self._backlog:
            self.drain()
            self._wait()
        elif self._has_no_reader():
            self.reader_left(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        elif self._watch is not None:  # a system that has it otherwise
            self._watch.wait_for(0)

    def _has_no_reader(self) -> bool:
        errors: list[tuple[int, int]] = []
        if sys.platform != "win32":
            poll = select.poll()
            poll.register(self.fd, 0)
            errors = poll.poll(0)
        return bool(errors)

    def _open(self, returned: LockType) -> None:
        """Runs in a thread: returns once somebody reads, or the wait has ended."""
        with suppress(OSError):
            self._opened.append(os.open(self._path, os.O_WRONLY | os.O_APPEND))
        returned.release()
        self._loop.call_from_thread(self._take_over)

    def _take_over(self) -> None:
        self._awaited = None
        while self._opened:
            fd = self._opened.pop()
            if self.fd >= 0 or self._is_closed or not stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.close(fd)
            elif sys.platform != "win32":  # which has no such pipes
                os.set_blocking(fd, False)
                self.attach(fd)

    def _end_waiting(self) -> None:
        # One that waits at a pipe which is no longer there can't be let out.
        if self._awaited is not None and self._awaited == _identity_of(self._path):
            with suppress(OSError):
                reader = os.open(self._path, _LOOK)
                self._returned.acquire(timeout=_RELEASE)
                os.close(reader)
        self._take_over()

    def _say_lost(self, lost: int, why: str) -> bytes:
        self._say(f"{_missing(lost)}{why}")
        return b""


def is_stdout(path: str) -> bool:
    """Whether the path leads to the same file as standard output, as /dev/stdout does."""
    try:
        stdout = identity(os.fstat(sys.stdout.fileno()))
    except (AttributeError, OSError, ValueError):  # closed, or a caller's own stream without a descriptor
        return False
    return stdout is not None and stdout == _identity_of(path)


def _missing(count: int) -> str:
    return f"{count} {'message is' if count == 1 else 'messages are'} missing"


def _identity_of(path: str) -> tuple[int, int] | None:
    """Which file the path leads to; None where it leads nowhere."""
    try:
        return identity(os.stat(path))  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None


def _own_stream(path: str) -> int:
    """A new descriptor for this process's stdout or stderr where the path leads to it, as /dev/stdout does; else -1.

    For one that can't be opened: a socket, or a pipe of the user who started this process as another one.
    """
    file = _identity_of(path)
    for fd in (1, 2):
        with suppress(OSError):
            if file is not None and identity(os.fstat(fd)) == file:
                return os.dup(fd)
    return -1


def _ends_within_line(path: str) -> bool:
    """Whether a file's last line has no end, as one that a killed process wrote may have none."""
    try:
        fd = os.open(path, _LOOK)
    except OSError:  # one that cannot be read
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or not os.fstat(fd).st_size:
            return False
        os.lseek(fd, -1, os.SEEK_END)
        return os.read(fd, 1) != b"\n"
    except OSError:
        return False
    finally:
        os.close(fd)


def _unread_in(fd: int) -> int:
    """How many bytes are in a pipe; 0 where the system does not say."""
    if sys.platform != "win32":
        with suppress(ImportError, OSError):
            import fcntl  # only here: Windows has none
            import termios

            return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
    return 0
