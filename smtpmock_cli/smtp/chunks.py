"""BDAT: a body that comes in chunks, octets without lines and dots (RFC 3030 section 2).

Invariants: the octets of a chunk are taken whatever becomes of it, so that the dialogue stays in step; a
transaction of which a chunk was refused takes no other.
"""

from __future__ import annotations

import re

from ..message import Message
from . import transaction
from .body import Incoming
from .commands import Command
from .events import Reply, RequestReceived

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from .rules import FiredRule
    from .session import Session

_size = re.compile("bdat +([0-9]{1,20})( +last)?", re.IGNORECASE).fullmatch


class Chunks(Incoming):
    """Collects a body, chunk by chunk."""

    __slots__ = ("_chunk",)
    _chunk: Chunk

    def begin(self, chunk: Chunk, size: int) -> None:
        """Take so many octets for a chunk."""
        self._chunk = chunk
        self.due = size
        self.cut_by(chunk.fired)

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes, no more than are due; None as long as the chunk goes on."""
        self.due -= len(data)
        self._store(data)
        return None if self.due else b""

    def answer(self, session: Session, fired: FiredRule | None = None) -> None:
        """Have the session answer the chunk; as a whole body, where it is the last, or one too many."""
        message, chunk = session.message, self._chunk
        message.chunks += chunk.is_accepted
        if not (chunk.is_accepted and (chunk.is_last or self.is_too_big)):
            chunk.answer(session)
            return
        transaction.record_data(message, chunk.line, "", chunk.line)
        super().answer(session, chunk.fired)
        message.data_response = message.msg_response


def chunk_argument(line: str) -> str | None:
    """The line itself, where it names a size (RFC 3030 section 2)."""
    return line if _size(line) else None


def is_next(message: Message) -> bool:
    """Whether a chunk may come."""
    has_failed = message.chunks > 0 and not message.data
    return transaction.after_rcptto(message) and not message.msg_response and not has_failed


def record_chunk(message: Message, request: str, response: str, argument: str | None) -> None:
    if argument is not None or not message.msg_response:  # a message that is whole stays as it is
        transaction.record_data(message, request, response, argument)


def play_chunk(session: Session, row: Command, line: str, argument: str | None) -> None:
    """Have the session take a chunk, and answer it then."""
    session.tell(RequestReceived(line))
    Chunk(row, session, line, argument).begin(session)


class Chunk:
    """A BDAT: judged when its line comes, answered when its octets have come.

    :param argument: its line, or None where that names no size.
    """

    __slots__ = ("_answer", "_argument", "_row", "_size", "fired", "is_accepted", "is_last", "line")

    def __init__(self, row: Command, session: Session, line: str, argument: str | None) -> None:
        self._row = row
        self._argument = argument
        self._answer, self.is_accepted = row.judge(session.message, argument)
        self.line = line
        self.fired = session.rule_for(row, line, argument)
        found = _size(line)
        self._size = int(found[1]) if found else 0
        self.is_last = found is not None and found[2] is not None

    def begin(self, session: Session) -> None:
        """Have the session take the octets."""
        chunks = session.body
        if not (self.is_accepted and session.message.chunks and isinstance(chunks, Chunks)):
            chunks = Chunks(session.table.body.limit if self.is_accepted else 0)
        chunks.begin(self, self._size)
        if self._size:
            session.receive(chunks)
        else:
            chunks.answer(session)

    def answer(self, session: Session) -> None:
        """Answer it, after which others are to come."""
        answer = Reply(self._answer.line.format(self._size)) if self.is_accepted else self._answer
        if self.fired is not None:
            session.obey_rule(self.fired, self._row, self.line, self._argument, answer, self.is_accepted)
            return
        self._row.record(session.message, self.line, answer.line, self._argument if self.is_accepted else None)
        session.reply(answer, self._row.delay, ends=session.table.fail_fast and not self.is_accepted)
