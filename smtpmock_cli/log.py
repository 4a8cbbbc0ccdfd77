"""The log: ``LEVEL: YYYY/MM/DD HH:MM:SS.micros TEXT``, INFO and WARNING to one stream, ERROR to another.

Invariants: lines keep their order within a file, both streams' where they are one; :meth:`Log.flush` leaves nothing
behind except what the reader of a pipe or terminal has not taken; nobody who does not read holds up the server, and a
stream that fails is written to again as soon as it can be, unless its reader is gone for good; no text of a peer's
can begin its own line or drive a terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .errors import reason
from .log_sink import File, Sink, Stream, has_reader, identity

BACKLOG_LIMIT = 1024 * 1024
"""Bytes that may wait for a reader; lines that come when there are more are lost, and counted."""
LINES_AT_ONCE = 10_000
"""So many lines that one event brings are written out at once, and not kept for the end of the turn."""
_PATIENCE = 0.2
"""Seconds within which the reader of a full backlog has to take some of it."""
LAST_PATIENCE = 0.5
"""The same at the end."""
_AT_ONCE = 4 * BACKLOG_LIMIT
"""Bytes that a reader gets in one turn of the loop, more than the lines of a turn are."""

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
        self._sinks: dict[Any, Sink] = {}
        self._out = self._err = Sink()
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

    def alarm(self, text: str) -> None:
        """An error that stderr gets at once, though no log be wanted."""
        sink = self._err if self._err.is_open else self._sink(sys.stderr)
        self._add(sink, "ERROR", text)
        self._write(sink)

    def stream_of(self, file: tuple[int, int] | None) -> Sink | None:
        """The stream that leads to this file, by its identity, if there is one."""
        sink = self._sinks.get(file)
        return sink if sink is not None and sink.is_open else None

    def write_line(self, sink: Sink, line: bytes, limit: int) -> None:
        """Write a line of something else's to a stream; else it could come into the middle of the log's.

        :param limit: bytes that may wait for the stream's reader before it.
        """
        self._write(sink)
        self._put(sink, line, 1, limit)

    def flush(self) -> None:
        """Write out what was collected."""
        if self._err.lines:
            self._write(self._err)
        if self._out.lines:
            self._write(self._out)

    def close(self) -> None:
        """Write out what was collected and what waits for a reader, if it comes to take it now."""
        self.flush()
        for sink in self._sinks.values():
            sink.drain(LAST_PATIENCE)
            sink.close()

    def _add(self, sink: Sink, level: str, text: str) -> None:
        if sink.is_open:
            sink.lines.append(self._line(level, text))

    def _line(self, level: str, text: str) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = stamp(now)
        return f"{level}: {self._stamp}.{int((now - second) * 1e6):06d} {escape(text)}\n"

    def _sink(self, stream: Any) -> Sink:
        """One for each file, because what waits or was begun comes before anything else."""
        if stream is None:
            return Sink()
        binary = _binary(stream)
        number = _number(binary)
        status = _status(number)
        key = (identity(status) or number) if status is not None else stream
        sink = self._sinks.get(key)
        if sink is None or not sink.is_open:
            sink = self._sinks[key] = self._new_sink(stream, binary, number, status)
        return sink

    def _new_sink(self, stream: Any, binary: Any, number: int, status: os.stat_result | None) -> Sink:
        sink: Sink
        if status is not None and has_reader(number, status.st_mode):
            sink = _LogStream(stream, number)
        else:
            sink = File(_writer(stream, binary), number, lambda error: self._tell_failure(sink, error))
        sink.notice = lambda lost, why: self._notice(sink, lost, why)
        return sink

    def _notice(self, sink: Sink, lost: int, why: str) -> bytes:
        lines = "1 line of the log was" if lost == 1 else f"{lost} lines of the log were"
        return self._line(self._level(sink), f"{lines} lost{why}").encode()

    def _tell_failure(self, failed: Sink, error: OSError) -> None:
        """Say so on the other stream, if that one does not fail too."""
        other = self._err if failed is self._out else self._out
        if other is not failed and not (isinstance(other, File) and other.fails):
            name = "stdout" if failed is self._out else "stderr"
            self._add(other, self._level(other), f"write {name}: {reason(error)}")
            self._write(other)

    def _level(self, sink: Sink) -> str:
        return "WARNING" if sink is self._out else "ERROR"

    def _write(self, sink: Sink) -> None:
        data, count = "".join(sink.lines).encode("utf-8", "surrogateescape"), len(sink.lines)
        sink.lines.clear()
        self._put(sink, data, count)

    def _put(self, sink: Sink, data: bytes, count: int, limit: int | None = None) -> None:
        sink.write(data, count, limit)
        if self.when_writable is None:
            sink.drain(None)
        elif sink.has_backlog and not sink.is_awaited:
            sink.is_awaited = True
            self.when_writable(sink.fd, lambda: self._go_on(sink))
        self.activity = self.activity and self._out.is_open

    def _go_on(self, sink: Sink) -> bool:
        """A reader takes bytes again; returns whether it has all."""
        sink.is_awaited = not sink.drain()
        self.activity = self.activity and self._out.is_open
        return not sink.is_awaited


class _LogStream(Stream):
    """A stream of Python's that leads to a pipe, a socket or a terminal.

    :param number: its descriptor.
    """

    def __init__(self, stream: Any, number: int) -> None:
        super().__init__(_unwaited(number), limit=BACKLOG_LIMIT, patience=_PATIENCE, at_once=_AT_ONCE)
        self._stream = stream
        self._number = number

    def write(self, data: bytes, count: int, limit: int | None = None) -> None:
        try:
            self._stream.flush()  # what the program itself has printed
        except (OSError, ValueError):  # ValueError: closed on our side
            self.give_up()
        else:
            super().write(data, count, limit)

    def close(self) -> None:
        if self.fd != self._number:
            os.close(self.fd)


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


def _status(number: int) -> os.stat_result | None:
    with suppress(OSError):  # one that was closed without the stream's knowledge
        return os.fstat(number)
    return None


def _unwaited(number: int) -> int:
    """A descriptor for the same that is written to without waiting."""
    if sys.platform != "win32" and os.isatty(number):
        # Its own, because to make the shell's one so would change it for the shell.
        with suppress(OSError):
            return os.open(os.ttyname(number), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    return number


def _writer(stream: Any, binary: Any) -> Callable[[memoryview], int | None]:
    """Writes to a stream of Python's, behind what the program itself has printed."""

    def write_bytes(data: memoryview) -> int | None:
        stream.flush()
        count: int | None = binary.write(data)
        stream.flush()
        return count

    def write_text(data: memoryview) -> int:
        stream.write(bytes(data).decode("utf-8", "replace"))
        stream.flush()
        return len(data)

    return write_text if binary is None else write_bytes
