"""The DATA phase: bytes up to the line that is a lone dot, with the stuffed dots taken out.

Invariants: a line ends at LF; the body ends at the line ".\\r\\n", also after a bare LF; at most
``limit`` bytes are kept, whatever arrives (RFC 5321 section 4.5.2, as the reference reads it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import BodyReceived

if TYPE_CHECKING:
    from .rules import FiredRule
    from .session import Session

_END = b"\n.\r\n"


class Incoming:
    """A body on its way, whose end :meth:`feed` knows; a rule may cut it before that.

    :param limit: how many bytes it may have.
    """

    __slots__ = ("_cut_after", "_fired", "_limit", "_pieces", "due", "size")

    def __init__(self, limit: int, fired: FiredRule | None = None) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes so far, those over the limit too."""
        self.due = 0
        """How many bytes are still to come; 0 where only the end can tell."""
        self._fired = fired
        self._cut_after = 0 if fired is None else fired.after_bytes

    def cut_by(self, fired: FiredRule | None) -> None:
        """Have a rule cut it, once the bytes have come that the rule lets pass."""
        self._fired = fired
        self._cut_after = 0 if fired is None else fired.after_bytes

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; None as long as the body goes on, and at its end what follows it."""
        raise NotImplementedError

    def answer(self, session: Session, fired: FiredRule | None = None) -> None:
        """Have the session answer it, now that it is whole; ``fired`` is a rule that decides on it already."""
        message, row, content = session.message, session.table.body, self.content()
        session.body = NOTHING
        message.msg = content is not None
        message.msg_request = content or b""
        answer = row.accepted if message.msg else row.too_big
        if fired is None and session.script is not None:
            fired = session.script.on_message(message)
        if fired is not None:
            reply, message.msg = fired.answer(answer, message.msg)
            message.msg_response = reply.line if reply is not None else ""
            fired.follow(session, reply, message.msg, row.delay)
            return
        message.msg_response = answer.line
        session.reply(answer, row.delay, ends=session.table.fail_fast and not message.msg)

    @property
    def is_too_big(self) -> bool:
        return self.size > self._limit

    def content(self) -> bytes | None:
        """The body, or None where it was over the limit."""
        return None if self.is_too_big else b"".join(self._pieces)

    def read(self, session: Session, buffer: bytearray) -> bool:
        """Take what is buffered, but for what follows the body; gives whether it is whole."""
        if self._cut_after or self.due:
            data = bytes(buffer[: min(filter(None, (self._cut_after, self.due)))])
            del buffer[: len(data)]
        else:
            data = bytes(buffer)
            del buffer[:]
        rest = self.feed(data)
        if rest is None:
            session.tell(BodyReceived(data))
            if self._cut_after:
                self._count_down(session, len(data))
            return False
        session.tell(BodyReceived(data[: len(data) - len(rest)]))
        if rest:
            buffer[:0] = rest
        return True

    def _count_down(self, session: Session, count: int) -> None:
        self._cut_after -= count
        if not self._cut_after and self._fired is not None:
            self._fired.break_off(session)

    def _store(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self._limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()


class Body(Incoming):
    """Collects the body that follows DATA."""

    __slots__ = ("_held", "_own_from")

    def __init__(self, limit: int, fired: FiredRule | None = None) -> None:
        super().__init__(limit, fired)
        # The start of a body is the start of a line: a line feed that is not the body's own says so.
        self._held = b"\n"
        self._own_from = 1

    def feed(self, data: bytes) -> bytes | None:
        joined = self._held + data
        # Most of a large mail is base 64, which has no dot: one search for a byte settles it.
        end = joined.find(_END) if b"." in joined else -1
        if end >= 0:
            self._keep(joined[: end + 1])
            return joined[end + len(_END) :]
        kept = len(joined) - _unsure_tail(joined)
        self._held = joined[kept:]
        self._keep(joined[:kept])
        return None

    def _keep(self, data: bytes) -> None:
        """Store what can hold no part of the end; ``data`` cuts no stuffed dot from its line feed."""
        piece = data.replace(b"\n.", b"\n") if b"." in data else data
        if self._own_from and data:
            piece = piece[self._own_from :]
            self._own_from = 0
        self._store(piece)


NOTHING = Body(0)
"""In the place of a body where none is under way."""


def _unsure_tail(data: bytes) -> int:
    """How many bytes at the end may turn out to begin the end of the body, or a stuffed dot."""
    if data.endswith(b"\n"):
        return 1
    return next((length for length in (3, 2) if data.endswith(_END[:length])), 0)
