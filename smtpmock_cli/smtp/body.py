"""The DATA phase: bytes up to the line that is a lone dot, with the stuffed dots taken out.

Invariants: a line ends at LF; the body ends at the line ".\\r\\n", also after a bare LF; at most
``limit`` bytes are kept, whatever arrives (RFC 5321 section 4.5.2, as the reference reads it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import BodyReceived

if TYPE_CHECKING:
    from .chunks import Chunk, Chunks
    from .rules import FiredRule
    from .session import Session

_END = b"\n.\r\n"


class Body:
    """Collects one body. Feed it until it gives back what follows the body."""

    due = None
    """How many bytes it still takes: only its end can tell."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes so far, those over the limit too."""
        # The start of a body is the start of a line: a line feed that is not the body's own says so.
        self._held = b"\n"
        self._own_from = 1

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; None as long as the body goes on, and at its end what follows it."""
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

    def content(self) -> bytes | None:
        """The body, or None where it was over the limit."""
        return None if self.size > self._limit else b"".join(self._pieces)

    def _keep(self, data: bytes) -> None:
        """Store what can hold no part of the end; ``data`` cuts no stuffed dot from its line feed."""
        piece = data.replace(b"\n.", b"\n") if b"." in data else data
        if self._own_from and data:
            piece = piece[self._own_from :]
            self._own_from = 0
        self.size += len(piece)
        if self.size <= self._limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()


class Reception:
    """A body on its way, by DATA or by BDAT, which a rule may cut.

    :param chunk: answers it, where it comes by BDAT.
    """

    __slots__ = ("_chunk", "_cut_after", "_fired", "body")

    def __init__(self, body: Body | Chunks, fired: FiredRule | None = None, chunk: Chunk | None = None) -> None:
        self.body = body
        self._chunk = chunk
        self._fired = fired
        self._cut_after = 0 if fired is None else fired.after_bytes
        """How many bytes are still to come before the rule cuts it; 0 where none does."""

    def read(self, session: Session, buffer: bytearray) -> bool:
        """Take what is buffered, but for what follows the body; gives whether it is whole."""
        if self._cut_after or self.body.due:
            data = bytes(buffer[: min(filter(None, (self._cut_after, self.body.due)))])
            del buffer[: len(data)]
        else:
            data = bytes(buffer)
            del buffer[:]
        rest = self.body.feed(data)
        if rest is None:
            session.tell(BodyReceived(data))
            if self._cut_after:
                self._count_down(session, len(data))
            return False
        session.tell(BodyReceived(data[: len(data) - len(rest)]))
        if rest:
            buffer[:0] = rest
        return True

    def answer(self, session: Session) -> None:
        """Answer what is whole."""
        if self._chunk is None:
            answer_body(session)
        else:
            self._chunk.answer(session)

    def _count_down(self, session: Session, count: int) -> None:
        self._cut_after -= count
        if not self._cut_after and self._fired is not None:
            self._fired.break_off(session)


NOTHING = Reception(Body(0))


def answer_body(session: Session, fired: FiredRule | None = None) -> None:
    """Answer the session's body, which is whole; ``fired`` is a rule that decides on it already."""
    message, row, content = session.message, session.table.body, session.reception.body.content()
    session.reception = NOTHING
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


def _unsure_tail(data: bytes) -> int:
    """How many bytes at the end may turn out to begin the end of the body, or a stuffed dot."""
    if data.endswith(b"\n"):
        return 1
    return next((length for length in (3, 2) if data.endswith(_END[:length])), 0)
