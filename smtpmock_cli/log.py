"""The log: ``LEVEL: YYYY/MM/DD HH:MM:SS.micros TEXT``, INFO and WARNING to one stream, ERROR to another.

Invariants: lines keep their order within a stream; :meth:`Log.flush` leaves nothing behind, but for what
the reader of a pipe or terminal has not taken; one that nobody reads holds up nothing, and what waits for it
is bounded; a stream that can't be written to is given up, and the server goes on without it; no text of a
peer's can begin a line of its own or drive a terminal.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

BACKLOG_LIMIT = 1024 * 1024
"""Bytes that may wait for a reader; lines that come when there are more are lost, and counted."""
LINES_AT_ONCE = 10_000
"""So many lines that one event brings are written out at once, and not kept for the end of the turn."""
_PATIENCE = 0.2
"""Seconds within which the reader of a full backlog has to take some of it."""
_LAST_PATIENCE = 0.5
"""The same at the end."""
_PATIENCES = 5
"""So many times that, and no longer, a reader is waited for who always takes some."""

_LINES_AND_DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""What Unicode ends a line with, and what turns text around for a reader (UAX #9 section 2)."""
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
# A byte that is not UTF-8, which a terminal of 8 bits takes for a control: 0x9b begins a sequence there.
_CONTROL |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0xA0)}
_CONTROL |= {code: f"\\u{code:04x}" for code in _LINES_AND_DIRECTIONS}


def stamp(now: float) -> str:
    """``YYYY/MM/DD HH:MM:SS`` in local time, for seconds since 1970."""
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now))


def escape(text: str) -> str:
    r"""The text with control characters as ``\xNN`` or ``\uNNNN``, so that it is one line to every reader."""
    return text if text.isprintable() else text.translate(_CONTROL)


class Log:
    """Collects lines and writes them out at :meth:`flush`.

    :param out: a stream for INFO and WARNING, or None; text or binary underneath.
    :param err: the same for ERROR.
    :param activity: whether INFO lines are wanted; ask it before making one.
    :param clock: gives seconds since 1970.
    """

    def __init__(self, out: Any, err: Any, *, activity: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.when_writable: Callable[[int, Callable[[], bool]], None] | None = None
        """Calls back whenever a descriptor takes bytes, until the call gives True; None waits for readers instead."""
        self._clock = clock
        self._second = -1
        self._stamp = ""
        self._sinks: dict[Any, _Sink] = {}
        self._out = self._err = self._sink(None)
        self.direct(out, err, activity=activity)

    def direct(self, out: Any, err: Any, *, activity: bool) -> None:
        """Write to other streams from now on; what was collected goes to those before."""
        self.flush()
        self.activity = activity and out is not None
        self._out = self._sink(out)
        self._err = self._sink(err)

    def info(self, text: str) -> None:
        """What the server does; dropped where activity is not wanted."""
        if self.activity:
            self._add(self._out, "INFO", text)

    def repeat_info(self, text: str, count: int) -> None:
        """The same line so many times: what arrives together has one stamp."""
        if self.activity and count:
            self.info(text)
            line, count = self._out.lines[-1:], count - 1
            while count > 0 and self._out.is_open:
                self._out.lines += line * min(count, LINES_AT_ONCE)
                count -= LINES_AT_ONCE
                if count > 0:
                    self.flush()

    def warning(self, text: str) -> None:
        self._add(self._out, "WARNING", text)

    def error(self, text: str) -> None:
        self._add(self._err, "ERROR", text)

    def flush(self) -> None:
        """Write out what was collected."""
        if self._err.lines:
            self._write(self._err)
        if self._out.lines:
            self._write(self._out)
            self.activity = self.activity and self._out.is_open

    def close(self) -> None:
        """Write out what was collected and what waits for a reader, if he comes to take it now."""
        self.flush()
        for sink in self._sinks.values():
            self._drain(sink, _LAST_PATIENCE)
            sink.close()

    def _add(self, sink: _Sink, level: str, text: str) -> None:
        if not sink.is_open:
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = stamp(now)
        sink.lines.append(f"{level}: {self._stamp}.{int((now - second) * 1e6):06d} {escape(text)}\n")

    def _sink(self, stream: Any) -> _Sink:
        # One for each file, because a backlog has to be written before what comes later.
        binary = _binary(stream)
        number = _number(binary)
        key = stream if number < 0 else number
        if key not in self._sinks:
            self._sinks[key] = _Sink(stream, binary, number)
        return self._sinks[key]

    def _write(self, sink: _Sink) -> None:
        sink.write(may_wait=self.when_writable is None)
        if sink.has_backlog and not sink.is_awaited and self.when_writable is not None:
            sink.is_awaited = True
            self.when_writable(sink.fd, lambda: self._go_on(sink))

    def _go_on(self, sink: _Sink) -> bool:
        """A reader takes bytes again; gives whether he has all."""
        sink.is_awaited = not self._drain(sink)
        return not sink.is_awaited

    def _drain(self, sink: _Sink, patience: float = 0) -> bool:
        """Write what a reader takes of the backlog, and how much he has missed; gives whether that is all."""
        if not sink.drain(patience):
            return False
        self.activity = self.activity and self._out.is_open
        if sink.lost:
            level, lost, sink.lost = "ERROR" if sink is self._err else "WARNING", sink.lost, 0
            self._add(sink, level, f"{lost} lines of the log were lost, because nobody read them")
            sink.write(may_wait=False)
        return not sink.has_backlog


class _Sink:
    """One stream, the lines that wait for the next write, and what a reader has not taken of those before.

    :param binary: what is under the stream; None where it has only text.
    :param number: its descriptor, or -1.
    """

    def __init__(self, stream: Any, binary: Any, number: int) -> None:
        self.lines: list[str] = []
        self.lost = 0
        """How many lines the backlog had no room for."""
        self.is_awaited = False
        """Whether the loop calls back when the reader takes bytes."""
        self._stream = stream
        self._binary = binary
        self._number = number
        self.fd = _unwaited(number)
        """What is written to without waiting; -1 where a write does not wait for a reader."""
        self._backlog = bytearray()

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def write(self, *, may_wait: bool) -> None:
        """Write the lines out; unless it may wait, a pipe or terminal gets only what it takes."""
        text, count = "".join(self.lines), len(self.lines)
        self.lines.clear()
        try:
            if self._binary is None:
                self._stream.write(text.encode("utf-8", "replace").decode("utf-8"))
                self._stream.flush()
                return
            self._stream.flush()
            data = text.encode("utf-8", "surrogateescape")
            if may_wait or self.fd < 0:
                _write_all(self._binary, data)
                self._stream.flush()
            else:
                self._queue(data, count)
        except (OSError, ValueError):  # ValueError: closed on our side
            self._give_up()

    def drain(self, patience: float) -> bool:
        """Write what the reader takes of the backlog, each time within so many seconds; gives whether that is all."""
        deadline = time.monotonic() + _PATIENCES * patience
        try:
            while self._backlog and self._takes_more(min(patience, deadline - time.monotonic())):
                # Whole lines, because another process or stream may write to the same pipe.
                end = self._backlog.rfind(b"\n", 0, select.PIPE_BUF) + 1 or select.PIPE_BUF
                del self._backlog[: os.write(self.fd, self._backlog[:end])]
        except BlockingIOError:  # a terminal that has become full
            return False
        except OSError:
            self._give_up()
        return not self._backlog

    def close(self) -> None:
        """Give back what was opened for it."""
        if self.fd not in (-1, self._number):
            os.close(self.fd)

    def _takes_more(self, seconds: float) -> bool:
        """Whether it takes bytes, or fails, within so many seconds."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _queue(self, data: bytes, count: int) -> None:
        if len(self._backlog) > BACKLOG_LIMIT and not self.lost:
            self.drain(_PATIENCE)
        if self.lost or len(self._backlog) > BACKLOG_LIMIT:
            self.lost += count
            return
        was_waiting = self.has_backlog
        self._backlog += data
        if not was_waiting:
            self.drain(0)

    def _give_up(self) -> None:
        self._stream = None
        self._backlog.clear()
        self.lost = 0


def _binary(stream: Any) -> Any:
    """What is under a stream; None where it has only text."""
    # Under the text layer, because a peer's bytes need not fit the stream's encoding; and under
    # the buffer, because what is stuck there after a failure fails again when the process ends.
    binary = getattr(stream, "buffer", None)
    return getattr(binary, "raw", binary)


def _number(binary: Any) -> int:
    """Its descriptor, or -1."""
    try:
        number: int = binary.fileno()
    except (AttributeError, OSError, ValueError):  # no file, or a closed one
        return -1
    return number


def _unwaited(number: int) -> int:
    """A descriptor for the same that is written to without waiting, where it takes bytes only while somebody reads."""
    if number < 0 or not hasattr(select, "poll"):  # Windows
        return -1
    with suppress(OSError):
        mode = os.fstat(number).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return number
        if os.isatty(number):
            # Of its own, because to make the shell's one so would change it for the shell.
            return os.open(os.ttyname(number), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    return -1


def _write_all(binary: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = binary.write(rest)
        if written is None:  # a pipe that somebody set to non-blocking, and that is full
            select.select([], [binary], [])
        else:
            rest = rest[written:]
