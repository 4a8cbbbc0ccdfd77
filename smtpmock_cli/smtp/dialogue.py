"""Dialogue: where a session stands and what it says; what it makes of bytes is ``session``'s.

Invariant: every transaction begun is told as ended once.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from ..message import Message
from .events import Event, Reply, ReplyDelayed, TransactionEnded
from .table import CommandTable


class State(Enum):
    """What the next bytes are."""

    COMMAND = "a command's line"
    REST_OF_LINE = "the rest of a line that was too long"
    BODY = "a line of a message's body"
    RESPONSE = "a response to a challenge of AUTH"
    DECIDING = "left until it is known which rule decides"
    SECURING = "of a TLS handshake, and so not for the session"
    HUNG = "nothing that is ever answered"
    ENDED = "of no interest any more"


LINES_LIMIT = 1_000_000
"""How many lines a client may send until a body is complete, the first one or the next."""

# Looked up for every session and reply, and slow to find in an Enum.
_COMMAND, _HUNG, _ENDED = State.COMMAND, State.HUNG, State.ENDED


class Dialogue:
    """What a rule, a chunk or AUTH has to know of a session, and may do to it."""

    __slots__ = ("_lines_left", "_pending", "message", "state", "table")

    def __init__(self, table: CommandTable) -> None:
        self.state = _COMMAND
        self.table = table
        """What the next command is judged by; may be another one by then."""
        self.message = Message()
        """The transaction under way; its events hand it over once it has ended."""
        self._pending: deque[Event] = deque()
        self._lines_left = LINES_LIMIT

    def tell(self, told: Event) -> None:
        """Have this pulled after all that was told before."""
        self._pending.append(told)

    def reply(self, answer: Reply, delay: float = 0, *, ends: bool = False) -> None:
        """Reply, after ``delay`` seconds; ``ends`` where that is the last."""
        if delay:
            self._pending.append(ReplyDelayed(delay))
        if ends:
            # Before the reply: a client that has its 221 finds its message stored.
            self.end()
        self._pending.append(answer)

    def _start_next_message(self) -> None:
        """Hand over the message that is complete, if MAIL may start another one by now."""
        finished = self.message
        if finished.is_consistent and (finished.rset or not self.table.needs_rset):
            self.message = Message()
            self.message.inherit(finished)
            self._pending.append(TransactionEnded(finished))

    def end(self) -> None:
        """End here: what is buffered stays unanswered."""
        if self.state is not _ENDED:
            self.state = _ENDED
            self._pending.append(TransactionEnded(self.message))

    def hang(self) -> None:
        """Answer nothing any more, and end with the input only."""
        self.state = _HUNG
