"""Session: the dialogue with one client, as a state machine that touches nothing.

Bytes go in by :meth:`Session.receive_data`, which only buffers; events come out of
:meth:`Session.next_event`, one a call. Whoever pulls decides when to pull the next, so a delay is
nothing but pulling later.

Invariants: every line of a command gets one reply, whatever it holds; the events do not depend on
how the bytes were cut; every transaction begun is told as ended once.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from ..message import Message
from . import events
from .body import Body
from .commands import Command, CommandTable, Next
from .events import Event, Reply
from .grammar import decode_line

LINE_LIMIT = 64 * 1024
"""The longest command line in bytes, its LF included."""


class State(Enum):
    """What the next bytes are."""

    COMMAND = "a command's line"
    REST_OF_LINE = "the rest of a line that was too long"
    BODY = "a line of a message's body"
    ENDED = "of no interest any more"


class Session:
    """One client's dialogue, by the table; begins with the greeting."""

    def __init__(self, table: CommandTable) -> None:
        self.state = State.COMMAND
        self._table = table
        self._message = Message()
        self._body = Body(0)
        self._buffer = bytearray()
        self._searched = 0
        self._input_ended = False
        self._events: deque[Event] = deque((table.greeting,))

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer, cut anywhere."""
        self._buffer += data

    def receive_end(self) -> None:
        """The peer will send no more; what it has sent is still answered."""
        self._input_ended = True

    def end(self) -> None:
        """End the dialogue here: what is buffered stays unanswered."""
        if self.state is not State.ENDED:
            self._end()

    def next_event(self) -> Event:
        """The next thing to do or to know; NEED_DATA where the peer has to go on first."""
        while not self._events:
            if not self._step():
                return events.NEED_DATA
        return self._events.popleft()

    def _step(self) -> bool:
        """Move on by what is buffered; False where nothing can be made of it yet."""
        if self.state is State.COMMAND:
            moved = self._read_command()
        elif self.state is State.BODY:
            moved = self._read_body()
        elif self.state is State.REST_OF_LINE:
            moved = self._skip_line()
        else:
            self._events.append(events.SESSION_ENDED)
            return True
        if not moved and self._input_ended:
            if self.state is State.BODY and not self._table.fail_fast:
                # The reference meets the end twice: in the body, and looking for the next command.
                self._events.append(events.INPUT_ENDED)
            self._events.append(events.INPUT_ENDED)
            self._end()
            return True
        return moved

    def _read_command(self) -> bool:
        end = self._buffer.find(b"\n", self._searched, LINE_LIMIT)
        if end >= 0:
            line = decode_line(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            self._events.append(events.RequestReceived(line))
            self._answer(line)
            return True
        self._searched = len(self._buffer)
        if self._searched < LINE_LIMIT:
            return False
        self.state = State.REST_OF_LINE
        self._searched = 0
        self._events.append(self._table.line_too_long)
        return True

    def _skip_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            self._buffer.clear()
            return False
        del self._buffer[: end + 1]
        self.state = State.COMMAND
        return True

    def _answer(self, line: str) -> None:
        command = self._table.recognise(line)
        if command is None:
            self._events.append(self._table.unrecognised)
            return
        if command.starts_message and self._table.several_messages:
            self._start_next_message()
        message = self._message
        command.forgets(message)
        answer, argument = command.judge(message, line)
        command.record(message, line, answer.line, argument)
        succeeded = argument is not None
        self._reply(answer, command.delay, ends=self._ends(command, succeeded))
        if succeeded and command.next is Next.BODY:
            self.state = State.BODY
            self._body = Body(self._table.body.limit)

    def _start_next_message(self) -> None:
        finished = self._message
        if finished.rset and finished.is_consistent:
            self._message = Message()
            self._message.inherit_helo(finished)
            self._events.append(events.TransactionEnded(finished))

    def _read_body(self) -> bool:
        if not self._buffer:
            return False
        data, self._buffer = self._buffer, bytearray()
        lines, rest = self._body.feed(data)
        if lines:
            self._events.append(events.BodyReceived(lines))
        if rest is not None:
            self._buffer += rest
            self.state = State.COMMAND
            self._answer_body()
        return bool(self._events)

    def _answer_body(self) -> None:
        message, row, content = self._message, self._table.body, self._body.content()
        self._body = Body(0)
        message.msg = content is not None
        message.msg_request = content or b""
        answer = row.accepted if message.msg else row.too_big
        message.msg_response = answer.line
        self._reply(answer, row.delay, ends=self._table.fail_fast and not message.msg)

    def _ends(self, command: Command, succeeded: bool) -> bool:
        return command.next is Next.CLOSE if succeeded else self._table.fail_fast

    def _reply(self, answer: Reply, delay: int, *, ends: bool) -> None:
        if delay:
            self._events.append(events.ReplyDelayed(delay))
        if ends:
            # Before the reply: a client that has its 221 finds its message stored.
            self._events.append(events.TransactionEnded(self._message))
        self._events.append(answer)
        if ends:
            self.state = State.ENDED

    def _end(self) -> None:
        self.state = State.ENDED
        self._events.append(events.TransactionEnded(self._message))
