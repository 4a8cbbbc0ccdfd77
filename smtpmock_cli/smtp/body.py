"""The DATA phase: bytes up to the line that is a lone dot, with the stuffed dots taken out.

Invariants: a line ends at LF; the body ends at the line ".\\r\\n", also after a bare LF; at most
``limit`` bytes are kept, whatever arrives (RFC 5321 section 4.5.2, as the reference reads it).
"""

from __future__ import annotations

_END = b"\n.\r\n"


class Body:
    """Collects one body. Feed it until it gives back what follows the body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        # The start of a body is the start of a line: a line feed that is not the body's own says so.
        self._held = b"\n"
        self._own_from = 1

    def feed(self, data: bytes | bytearray) -> tuple[int, bytes | None]:
        """Take bytes; give the number of lines that ended in them, and what follows the body.

        The second is None as long as the body goes on.
        """
        joined = self._held + data
        end = joined.find(_END)
        if end < 0:
            kept = len(joined) - _unsure_tail(joined)
            self._held = joined[kept:]
            self._keep(joined[:kept])
            return data.count(b"\n"), None
        self._keep(joined[: end + 1])
        rest = joined[end + len(_END) :]
        return data.count(b"\n", 0, len(data) - len(rest)), rest

    def content(self) -> bytes | None:
        """The body, or None where it was over the limit."""
        return None if self._size > self._limit else b"".join(self._pieces)

    def _keep(self, data: bytes) -> None:
        """Store what can hold no part of the end; ``data`` cuts no stuffed dot from its line feed."""
        piece = data.replace(b"\n.", b"\n")[self._own_from :]
        if data:
            self._own_from = 0
        self._size += len(piece)
        if self._size <= self._limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()


def _unsure_tail(data: bytes) -> int:
    """How many bytes at the end may turn out to begin the end of the body, or a stuffed dot."""
    for length in (3, 2, 1):
        if data.endswith(_END[:length]):
            return length
    return 0
