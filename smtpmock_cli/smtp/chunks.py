"""BDAT: a body that comes in chunks, octets without lines and dots (RFC 3030 section 2).

Invariants: the octets of a chunk are taken whatever becomes of it, so that the dialogue stays in step; a
transaction of which a chunk was refused takes no other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..message import Message
from . import transaction
from .body import Reception, answer_body
from .commands import Command
from .events import Reply, RequestReceived

if TYPE_CHECKING:
    from .session import Session

_size = re.compile("bdat +([0-9]{1,20})( +last)?", re.IGNORECASE).fullmatch


class Chunks:
    """Collects a body, of which at most ``limit`` bytes are kept, whatever arrives."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes so far, those over the limit too."""
        self.due = 0
        """How many bytes of the chunk under way are still to come."""

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes, no more than are due; None as long as the chunk goes on, and at its end what follows it."""
        self.due -= len(data)
        self.size += len(data)
        if self.size <= self._limit:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        return None if self.due else b""

    def content(self) -> bytes | None:
        """The body, or None where it was over the limit."""
        return None if self.size > self._limit else b"".join(self._pieces)


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

    __slots__ = ("_argument", "_fired", "_is_last", "_line", "_row", "_size", "_verdict")

    def __init__(self, row: Command, session: Session, line: str, argument: str | None) -> None:
        self._row = row
        self._line = line
        self._argument = argument
        self._verdict = row.judge(session.message, argument)
        self._fired = session.rule_for(row, line, argument)
        found = _size(line)
        self._size = int(found[1]) if found else 0
        self._is_last = found is not None and found[2] is not None

    def begin(self, session: Session) -> None:
        """Have the session take the octets."""
        _, is_accepted = self._verdict
        body = session.reception.body
        if not (is_accepted and session.message.chunks and isinstance(body, Chunks)):
            body = Chunks(session.table.body.limit if is_accepted else 0)
        body.due = self._size
        session.receive(Reception(body, self._fired, self))

    def answer(self, session: Session) -> None:
        """Answer, now that they are there; the last, and one over the limit, as a body."""
        message = session.message
        answer, is_accepted = self._verdict
        if is_accepted:
            message.chunks += 1
            if self._is_last or session.reception.body.size > session.table.body.limit:
                self._row.record(message, self._line, "", self._line)
                answer_body(session, self._fired)
                message.data_response = message.msg_response
                return
            answer = Reply(answer.line.format(self._size))
        if self._fired is not None:
            session.obey_rule(self._fired, self._row, self._line, self._argument, answer, is_accepted)
            return
        self._row.record(message, self._line, answer.line, self._argument if is_accepted else None)
        session.reply(answer, self._row.delay, ends=session.table.fail_fast and not is_accepted)
