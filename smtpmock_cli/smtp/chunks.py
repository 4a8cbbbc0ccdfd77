"""BDAT: a body that comes in chunks, octets without lines and dots (RFC 3030 section 2).

Invariants: the octets of a chunk are taken whatever becomes of it, so that the dialogue stays in step; a
transaction of which a chunk was refused takes no other.
"""

from __future__ import annotations

import re

from ..message import Message
from . import transaction
from .body import Incoming
from .events import Reply, RequestReceived
from .table import Command

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from .rules import FiredRule
    from .session import Session

_size = re.compile("bdat +([0-9]{1,20})( +last)?", re.IGNORECASE).fullmatch


class Chunks(Incoming):
    """Collects a body, chunk by chunk: ``due`` is what the one under way still brings."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes, no more than are due; None as long as the chunk goes on."""
        self.due -= len(data)
        self._store(data)
        return None if self.due else b""


def chunk_argument(line: str) -> str | None:
    """The line itself, where it names a size (RFC 3030 section 2)."""
    return line if _size(line) else None


def is_next(message: Message) -> bool:
    """Whether a chunk may come."""
    has_failed = message.chunks > 0 and not message.data
    return transaction.after_rcptto(message) and not message.msg_response and not has_failed


def record_unless_whole(message: Message, request: str, response: str, argument: str | None) -> None:
    """Record DATA or BDAT; a message that is whole stays as it is."""
    if argument is not None or not message.msg_response:
        transaction.record_data(message, request, response, argument)


def play_chunk(session: Session, row: Command, line: str, argument: str | None) -> None:
    """Have the session take a chunk, and answer it then."""
    session.tell(RequestReceived(line))
    chunk = Chunk(row, session, line, argument)
    decided = session.rule_for(row, line, argument)
    if decided is None:
        chunk.begin(session, None)
    else:
        decided.decide(session, chunk.begin)


class Chunk:
    """A BDAT: judged when its line comes, answered when its octets have come.

    :param argument: its line, or None where that names no size.
    """

    __slots__ = ("_answer", "_argument", "_fired", "_is_accepted", "_is_last", "_line", "_row", "_size")

    def __init__(self, row: Command, session: Session, line: str, argument: str | None) -> None:
        self._row = row
        self._argument = argument
        self._answer, self._is_accepted = row.judge(session.message, argument)
        self._line = line
        self._fired: FiredRule | None = None
        found = _size(line)
        self._size = int(found[1]) if found else 0
        self._is_last = found is not None and found[2] is not None

    def begin(self, session: Session, fired: FiredRule | None) -> None:
        """Have the session take the octets."""
        self._fired = fired
        chunks = session.body
        if not (self._is_accepted and session.message.chunks and isinstance(chunks, Chunks)):
            chunks = Chunks(session.table.body.limit if self._is_accepted else 0)
        chunks.due = self._size
        if self._size:
            session.receive(chunks, self._fired, self.answer)
        else:
            session.body = chunks
            self.answer(session)

    def answer(self, session: Session) -> None:
        """Answer, now that they are there; the last, and one too many, as a whole body."""
        message = session.message
        message.chunks += self._is_accepted
        if self._is_accepted and (self._is_last or session.body.is_too_big):
            transaction.record_data(message, self._line, "", self._line)
            session.answer_body(self._fired)
            message.data_response = message.msg_response
            return
        answer = Reply(self._answer.line.format(self._size)) if self._is_accepted else self._answer
        if self._fired is not None:
            session.obey(self._fired, self._row, self._line, self._argument, answer, self._is_accepted)
            return
        self._row.record(message, self._line, answer.line, self._argument if self._is_accepted else None)
        session.reply(answer, self._row.delay, ends=session.table.fail_fast and not self._is_accepted)
