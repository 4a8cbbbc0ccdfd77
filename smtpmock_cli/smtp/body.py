"""The DATA phase: bytes up to the line that is a lone dot, with the stuffed dots taken out.

Invariants: the body ends at the line ".\\r\\n"; a line ends at LF, as the reference reads it, or at CR LF
only (RFC 5321 section 4.5.2); at most ``limit`` bytes are kept, whatever arrives. What that makes of other
ends is the table of docs/smuggling.md.
"""

from __future__ import annotations

LF, CRLF = b"\n", b"\r\n"
_LONE_DOT = b".\r\n"


class Incoming:
    """A body on its way, whose end :meth:`feed` knows.

    :param limit: how many bytes are kept at the most.
    """

    __slots__ = ("_limit", "_pieces", "due", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes so far, those over the limit too."""
        self.due = 0
        """How many bytes are still to come; 0 where only the end can tell."""

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; None as long as the body goes on, and at its end what follows it."""
        raise NotImplementedError

    @property
    def is_too_big(self) -> bool:
        return self.size > self._limit

    def content(self) -> bytes | None:
        """The body, or None where it was over the limit."""
        return None if self.is_too_big else b"".join(self._pieces)

    def _store(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self._limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()


class Body(Incoming):
    """Collects the body that follows DATA.

    :param line_end: what ends a line: LF or CRLF.
    """

    __slots__ = ("_end", "_held", "_line_end", "_own_from")

    def __init__(self, limit: int, line_end: bytes) -> None:
        super().__init__(limit)
        self._line_end = line_end
        self._end = line_end + _LONE_DOT
        # The start of a body is the start of a line: a line's end that is not the body's own says so.
        self._held = line_end
        self._own_from = len(line_end)

    def feed(self, data: bytes) -> bytes | None:
        joined = self._held + data
        # Most of a large mail is base 64, which has no dot: one search for a byte settles it.
        end = joined.find(self._end) if b"." in joined else -1
        if end >= 0:
            end += len(self._line_end)
            self._keep(joined[:end])
            return joined[end + len(_LONE_DOT) :]
        kept = len(joined) - self._unsure_tail(joined)
        self._held = joined[kept:]
        self._keep(joined[:kept])
        return None

    def _keep(self, data: bytes) -> None:
        """Store what can hold no part of the end; ``data`` cuts no stuffed dot from its line's end."""
        piece = data.replace(self._line_end + b".", self._line_end) if b"." in data else data
        if self._own_from and data:
            piece = piece[self._own_from :]
            self._own_from = 0
        self._store(piece)

    def _unsure_tail(self, data: bytes) -> int:
        """How many bytes at the end may turn out to begin the end of the body, or a stuffed dot."""
        if data.endswith(self._line_end):
            return len(self._line_end)
        lengths = range(len(self._end) - 1, 0, -1)
        return next((length for length in lengths if data.endswith(self._end[:length])), 0)


NOTHING = Body(0, LF)
"""In the place of a body where none is under way."""
