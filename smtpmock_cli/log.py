"""The log: ``LEVEL: YYYY/MM/DD HH:MM:SS.micros TEXT``, INFO and WARNING to one stream, ERROR to another.

Invariants: lines keep their order within a stream; :meth:`Log.flush` leaves nothing behind; a
stream that can't be written to is given up, and the server goes on without it; no text of a peer's
can begin a line of its own or drive a terminal.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def stamp(now: float) -> str:
    """``YYYY/MM/DD HH:MM:SS`` in local time, for seconds since 1970."""
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now))


def escape(text: str) -> str:
    r"""The text with control characters as ``\xNN``."""
    return text if text.isprintable() else text.translate(_CONTROL)


class Log:
    """Collects lines and writes them out at :meth:`flush`.

    :param out: a stream for INFO and WARNING, or None; text or binary underneath.
    :param err: the same for ERROR.
    :param activity: whether INFO lines are wanted; ask it before making one.
    :param clock: gives seconds since 1970.
    """

    def __init__(self, out: Any, err: Any, *, activity: bool = True, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._stamp = ""
        self._out = self._err = _Sink(None)
        self.direct(out, err, activity=activity)

    def direct(self, out: Any, err: Any, *, activity: bool) -> None:
        """Write to other streams from now on; what was collected goes to those before."""
        self.flush()
        self.activity = activity and out is not None
        self._out = _Sink(out)
        self._err = _Sink(err)

    def info(self, text: str) -> None:
        """What the server does; dropped where activity is not wanted."""
        if self.activity:
            self._add(self._out, "INFO", text)

    def repeat_info(self, text: str, count: int) -> None:
        """The same line so many times: what arrives together has one stamp."""
        if self.activity and count:
            self.info(text)
            self._out.lines += self._out.lines[-1:] * (count - 1)

    def warning(self, text: str) -> None:
        self._add(self._out, "WARNING", text)

    def error(self, text: str) -> None:
        self._add(self._err, "ERROR", text)

    def flush(self) -> None:
        """Write out what was collected."""
        if self._err.lines:
            self._err.write()
        if self._out.lines:
            self._out.write()
            self.activity = self.activity and self._out.is_open

    def _add(self, sink: _Sink, level: str, text: str) -> None:
        if not sink.is_open:
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = stamp(now)
        sink.lines.append(f"{level}: {self._stamp}.{int((now - second) * 1e6):06d} {escape(text)}\n")


class _Sink:
    """One stream, and the lines that wait for it."""

    def __init__(self, stream: Any) -> None:
        self.lines: list[str] = []
        self._stream = stream
        # Under the text layer, because a peer's bytes need not fit the stream's encoding; and under
        # the buffer, because what is stuck there after a failure fails again when the process ends.
        binary = getattr(stream, "buffer", None)
        self._binary = getattr(binary, "raw", binary)

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    def write(self) -> None:
        text = "".join(self.lines)
        self.lines.clear()
        try:
            if self._binary is None:
                self._stream.write(text.encode("utf-8", "replace").decode("utf-8"))
            else:
                self._stream.flush()
                _write_all(self._binary, text.encode("utf-8", "surrogateescape"))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: closed on our side
            self._stream = None


def _write_all(binary: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = binary.write(rest)
        if written is None:  # a pipe that somebody set to non-blocking, and that is full
            select.select([], [binary], [])
        else:
            rest = rest[written:]
