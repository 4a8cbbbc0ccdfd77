"""Session: the dialogue with one client, as a state machine that touches nothing.

Bytes go in by :meth:`Session.receive_data`, which only buffers; events come out of
:meth:`Session.next_event`, one a call. Whoever pulls decides when to pull the next, so a delay is
nothing but pulling later.

Invariants: every line of a command gets one reply, whatever it holds; the events do not depend on
how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import events
from .body import NOTHING, Body, Incoming
from .dialogue import LINES_LIMIT, Dialogue, State
from .events import Event, Reply
from .grammar import decode_line
from .table import BODY, CLOSE, COMMAND, TLS, Command, CommandTable, Next

if TYPE_CHECKING:
    from .rules import FiredRule, Script

LINE_LIMIT = 64 * 1024
"""The longest command line in bytes, its LF included."""

_FIRST_LOOK = 32 * 1024
"""Bytes that a body's first look takes: what follows the body in them is looked at again, with each small body."""

# Looked up for every command, and slow to find in an Enum.
_COMMAND, _REST_OF_LINE, _BODY, _RESPONSE, _SECURING, _HUNG, _ENDED = State


class Session(Dialogue):
    """One client's dialogue, by the table; begins with the greeting.

    :param script: the rules as this session meets them, if there are any.
    """

    __slots__ = (
        "_answer",
        "_buffer",
        "_cut_after",
        "_cutter",
        "_input_ended",
        "_respond",
        "_searched",
        "body",
        "script",
    )

    def __init__(self, table: CommandTable, script: Script | None = None) -> None:
        super().__init__(table)
        self.script = script
        """The rules for the next command; others may be in force by then."""
        self.body: Incoming = NOTHING
        """The body under way."""
        self._cutter: FiredRule | None = None
        """The rule that cuts it once ``_cut_after`` more bytes have come; 0 where none does."""
        self._cut_after = 0
        self._answer: Callable[[Session], None] | None = None
        """Answers it, where it is none of DATA."""
        self._respond: Callable[[Session, str], None] | None = None
        """Takes the next response to AUTH's challenge."""
        self._buffer = bytearray()
        self._searched = 0
        self._input_ended = False
        if table.tls_first:
            self._start_tls()
        else:
            self._greet()

    @property
    def body_size(self) -> int:
        """How many bytes of the body under way have arrived, its dots taken out."""
        return self.body.size

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer, cut anywhere."""
        self._buffer += data

    def receive_tls(self, version: str) -> None:
        """The TLS handshake is done; its ``version`` as OpenSSL names it."""
        self.message.tls = version
        self.state = _COMMAND
        if self.table.tls_first:
            self._greet()

    def receive_end(self) -> None:
        """The peer will send no more; what it has sent is still answered."""
        self._input_ended = True

    def receive_failure(self) -> None:
        """The connection is of no use any more: what is buffered stays unanswered."""
        if self.state is _BODY and not self.table.fail_fast:
            # go-smtp-mock looks for the next command, and meets the end there.
            self._pending.append(events.INPUT_ENDED)
        self.end()

    def shut_down(self) -> bool:
        """Tell the client that the server shuts down, and end; returns False where that is not the moment.

        It is once all replies are out, unless the client awaits none (RFC 5321 section 3.8): amid a body, which
        it may finish, or a TLS handshake, or hung by a rule.
        """
        reply = self.table.shutting_down
        if reply is None or self.state in (_BODY, _SECURING, _HUNG, _ENDED):
            return False
        self.reply(reply, ends=True)
        return True

    def next_event(self) -> Event:
        """The next thing to do or to know; NEED_DATA where the peer has to go on first."""
        pending = self._pending
        while not pending:
            if self._buffer:
                moved = self._read()
            elif self.state is _ENDED:
                return events.SESSION_ENDED
            else:
                moved = False
            if not moved:
                if not self._input_ended:
                    return events.NEED_DATA
                self._meet_end_of_input()
        return pending.popleft()

    def _greet(self) -> None:
        fired = self.script.on_connect(self.message) if self.script is not None else None
        self._say(self.table.greeting, fired, succeeded=True)

    def _read(self) -> bool:
        """Move on by what is buffered; False where nothing can be made of it yet."""
        state = self.state
        if state is _COMMAND or state is _RESPONSE:
            return self._read_line()
        if state is _BODY:
            self._read_body()
            return True
        if state is _REST_OF_LINE:
            return self._skip_line()
        self._buffer.clear()
        return True

    def _meet_end_of_input(self) -> None:
        self._pending.append(events.INPUT_ENDED)
        self.receive_failure()

    def _read_line(self) -> bool:
        end = self._buffer.find(b"\n", self._searched, LINE_LIMIT)
        if end < 0:
            return self._wait_for_line()
        line = decode_line(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        self._lines_left -= 1
        if self._lines_left < 0:
            return self._give_up()
        if self.state is _RESPONSE and self._respond is not None:
            self.state = _COMMAND
            self._respond(self, line)
            return True
        command, argument = self.table.recognise(line)
        if command is None:
            self._refuse(line)
        elif command.plays is None:
            self._pending.append(events.RequestReceived(line))
            self._obey(command, line, argument)
        else:
            command.plays(self, command, line, argument)
        return True

    def _wait_for_line(self) -> bool:
        self._searched = len(self._buffer)
        if self._searched < LINE_LIMIT:
            return False
        self.state = _REST_OF_LINE
        self._searched = 0
        self._lines_left -= 1
        if self._lines_left < 0:
            return self._give_up()
        self._pending.append(self.table.line_too_long)
        return True

    def _give_up(self) -> bool:
        """End here, because the client sends lines, and no body."""
        self.reply(self.table.too_many_lines, ends=True)
        return True

    def _skip_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            self._buffer.clear()
            return False
        del self._buffer[: end + 1]
        self.state = _COMMAND
        return True

    def _refuse(self, line: str) -> None:
        """Answer what is no command; but for a rule, that is no failure to end the session for."""
        shown = self.table.shown
        self._pending.append(events.RequestReceived(line if shown is None else shown(line)))
        fired = self.script.on_unknown(line, self.message) if self.script is not None else None
        self._say(self.table.unrecognised, fired, succeeded=False)

    def _say(self, reply: Reply, fired: FiredRule | None, *, succeeded: bool) -> None:
        if fired is None:
            self._pending.append(reply)
        else:
            fired.follow(self, *fired.answer(reply, succeeded))

    def _obey(self, command: Command, line: str, argument: str | None) -> None:
        if command.starts_message and self.table.several_messages:
            self._start_next_message()
        message = self.message
        command.forgets(message)
        answer, succeeded = command.judge(message, argument)
        fired = None if self.script is None else self.rule_for(command, line, argument)
        if fired is not None:
            succeeded = self.obey_rule(fired, command, line, argument, answer, succeeded)
        else:
            command.record(message, line, answer.line, argument if succeeded else None)
            self.reply(answer, command.delay, ends=command.next is CLOSE if succeeded else self.table.fail_fast)
        if succeeded and command.next is not COMMAND and self.state is _COMMAND:
            self._go_on(command.next, fired)

    def rule_for(self, command: Command, line: str, argument: str | None) -> FiredRule | None:
        """The rule that decides on a command, if one does."""
        return None if self.script is None else self.script.on_command(command.on, line, argument, self.message)

    def obey_rule(
        self, fired: FiredRule, command: Command, line: str, argument: str | None, answer: Reply, succeeded: bool
    ) -> bool:
        """Record a command and answer it as a rule has it; gives whether it succeeded."""
        reply, succeeded = fired.answer(answer, succeeded)
        said = fired.text if argument is None else argument
        command.record(self.message, line, reply.line if reply is not None else "", said if succeeded else None)
        fired.follow(self, reply, succeeded, command.delay, is_last=command.next is CLOSE)
        return succeeded

    def _go_on(self, next: Next, fired: FiredRule | None) -> None:
        """Take what follows a command; no body does where a rule's reply says so."""
        if next is TLS:
            self._start_tls()
        elif next is BODY and (fired is None or fired.wants_body):
            row = self.table.body
            self.receive(Body(row.limit, row.line_end), fired)

    def _start_tls(self) -> None:
        """Forget all, and what came in plaintext behind the command too (RFC 3207 section 4.2, CVE-2011-0411)."""
        self._buffer.clear()
        self.message.forget_from_tls()
        self.state = _SECURING
        self._pending.append(events.START_TLS)

    def await_response(self, respond: Callable[[Session, str], None]) -> None:
        """Have the next line taken as a response to AUTH's challenge, unless a rule has ended the session."""
        if self.state is _COMMAND:
            self.state = _RESPONSE
            self._respond = respond

    def receive(self, body: Incoming, fired: FiredRule | None, answer: Callable[[Session], None] | None = None) -> None:
        """Take a body from now on, which a rule may cut.

        :param answer: answers it, where it is none of DATA.
        """
        self.state = _BODY
        self.body = body
        self._answer = answer
        self._cutter, self._cut_after = fired, 0 if fired is None else fired.after_bytes

    def _read_body(self) -> None:
        buffer, body = self._buffer, self.body
        most = len(buffer) if body.size else _FIRST_LOOK
        if self._cut_after or body.due:
            most = min(filter(None, (self._cut_after, body.due, most)))
        data = bytes(buffer if len(buffer) <= most else buffer[:most])
        rest = body.feed(data)
        taken = len(data) - len(rest or b"")
        del buffer[:taken]
        self._pending.append(events.BodyReceived(data[:taken]))
        if rest is None:
            if self._cut_after:
                self._count_down(taken)
            return
        self.state = _COMMAND
        if self._answer is None:
            self.answer_body()
        else:
            self._answer(self)

    def _count_down(self, count: int) -> None:
        self._cut_after -= count
        if not self._cut_after and self._cutter is not None:
            self._cutter.break_off(self)

    def answer_body(self, fired: FiredRule | None = None) -> None:
        """Answer the body, which is whole; ``fired`` is a rule that decides on it already."""
        message, row, content = self.message, self.table.body, self.body.content()
        self.body = NOTHING
        self._lines_left = LINES_LIMIT
        message.msg = content is not None
        message.msg_request = content or b""
        answer = row.accepted if message.msg else row.too_big
        if fired is None and self.script is not None:
            fired = self.script.on_message(message)
        if fired is not None:
            reply, message.msg = fired.answer(answer, message.msg)
            message.msg_response = reply.line if reply is not None else ""
            fired.follow(self, reply, message.msg, row.delay)
            return
        message.msg_response = answer.line
        self.reply(answer, row.delay, ends=self.table.fail_fast and not message.msg)
