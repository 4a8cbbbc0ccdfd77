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
    from typing import Any

    from .decision import Decision
    from .rules import Decided, FiredRule, Script

LINE_LIMIT = 64 * 1024
"""The longest command line in bytes, its LF included."""

_FIRST_LOOK = 32 * 1024
"""Bytes that a body's first look takes: what follows the body in them is looked at again, with each small body."""

# Looked up for every command, and slow to find in an Enum.
_COMMAND, _REST_OF_LINE, _BODY, _RESPONSE, _DECIDING, _SECURING, _HUNG, _ENDED = State


class Session(Dialogue):
    """One client's dialogue, by the table; begins with the greeting.

    :param script: the rules as this session meets them, if there are any.
    """

    __slots__ = (
        "_answer",
        "_buffer",
        "_cut_after",
        "_cutter",
        "_decision",
        "_input_ended",
        "_needs_input",
        "_respond",
        "_searched",
        "_then",
        "body",
        "script",
    )

    # Set in the states RESPONSE and DECIDING only, because every session would pay for initial values.
    _respond: Callable[[Session, str], None]
    """Takes the next response to AUTH's challenge."""
    _decision: Decision
    """Finds the rule that decides."""
    _then: tuple[Callable[..., None], tuple[Any, ...]]
    """What to call with that rule, and further arguments."""

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
        self._buffer = bytearray()
        self._searched = 0
        self._input_ended = False
        self._needs_input = True
        """Whether it can only go on with more bytes or their end, once the buffer is read."""
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
        self._needs_input = False

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
                if self._needs_input:
                    return events.NEED_DATA
                self._go_on_without_input()
        return pending.popleft()

    def _greet(self) -> None:
        fired = self.script.on_connect(self.message) if self.script is not None else None
        self._say(fired, self.table.greeting, True)

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
        if state is _DECIDING:
            return False
        self._buffer.clear()
        return True

    def wait_for(self, decision: Decision, then: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Read nothing more until a decision is made, then call ``then`` as :meth:`FiredRule.decide` does."""
        self._decision, self._then = decision, (then, args)
        self._needs_input = False
        self.state = _DECIDING
        self._pending.append(events.DECISION_PENDING)

    def _go_on_without_input(self) -> None:
        if self.state is not _DECIDING:
            self._meet_end_of_input()
        elif self._decision.step():
            decision, (then, args) = self._decision, self._then
            del self._decision, self._then
            self._needs_input = not self._input_ended
            self.state = _COMMAND
            then(self, decision.fired, *args)
        else:
            self._pending.append(events.DECISION_PENDING)

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
        if self.state is _RESPONSE:
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
        self._say(fired, self.table.unrecognised, False)

    def _say(self, decided: Decided, reply: Reply, succeeded: bool) -> None:
        if decided is None:
            self._pending.append(reply)
        else:
            decided.decide(self, _say_by_rule, reply, succeeded)

    def _obey(self, command: Command, line: str, argument: str | None) -> None:
        if command.starts_message and self.table.several_messages:
            self._start_next_message()
        message = self.message
        command.forgets(message)
        answer, succeeded = command.judge(message, argument)
        if self.script is not None:
            decided = self.script.on_command(command.on, line, argument, message)
            if decided is not None:
                decided.decide(self, Session.obey, command, line, argument, answer, succeeded)
                return
        # Not: obey(), because every command would pay for one more call.
        command.record(message, line, answer.line, argument if succeeded else None)
        self.reply(answer, command.delay, ends=command.next is CLOSE if succeeded else self.table.fail_fast)
        if succeeded and command.next is not COMMAND and self.state is _COMMAND:
            self._go_on(command.next, None)

    def rule_for(self, command: Command, line: str, argument: str | None) -> Decided:
        """The rule that decides on a command, or what finds it."""
        return None if self.script is None else self.script.on_command(command.on, line, argument, self.message)

    def obey(
        self,
        fired: FiredRule | None,
        command: Command,
        line: str,
        argument: str | None,
        answer: Reply,
        succeeded: bool,
    ) -> None:
        """Record and answer a command, by the rule if one fired, and take what follows."""
        if fired is None:
            command.record(self.message, line, answer.line, argument if succeeded else None)
            self.reply(answer, command.delay, ends=command.next is CLOSE if succeeded else self.table.fail_fast)
        else:
            reply, succeeded = fired.answer(answer, succeeded)
            said = fired.text if argument is None else argument
            command.record(self.message, line, reply.line if reply is not None else "", said if succeeded else None)
            fired.follow(self, reply, succeeded, command.delay, is_last=command.next is CLOSE)
        if succeeded and command.next is not COMMAND and self.state is _COMMAND:
            self._go_on(command.next, fired)

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

    def answer_body(self, decided: Decided = None) -> None:
        """Answer the body, which is complete; ``decided`` is a rule that already decides on it."""
        message, row, content = self.message, self.table.body, self.body.content()
        self.body = NOTHING
        self._lines_left = LINES_LIMIT
        message.msg_request = content or b""
        answer, succeeded = (row.accepted, True) if content is not None else (row.too_big, False)
        if decided is None and self.script is not None:
            decided = self.script.on_message(message)
        if decided is not None:
            decided.decide(self, _answer_body_by_rule, answer, succeeded, row.delay)
            return
        message.msg = succeeded
        message.msg_response = answer.line
        self.reply(answer, row.delay, ends=self.table.fail_fast and not succeeded)


def _say_by_rule(session: Session, fired: FiredRule | None, reply: Reply, succeeded: bool) -> None:
    if fired is None:
        session.tell(reply)
    else:
        fired.follow(session, *fired.answer(reply, succeeded))


def _answer_body_by_rule(
    session: Session, fired: FiredRule | None, answer: Reply, succeeded: bool, delay: float
) -> None:
    message = session.message
    if fired is None:
        message.msg = succeeded
        message.msg_response = answer.line
        session.reply(answer, delay, ends=session.table.fail_fast and not succeeded)
    else:
        reply, message.msg = fired.answer(answer, succeeded)
        message.msg_response = reply.line if reply is not None else ""
        fired.follow(session, reply, message.msg, delay)
    if message.chunks:
        message.data_response = message.msg_response
