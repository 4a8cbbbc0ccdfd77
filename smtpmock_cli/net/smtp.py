"""SmtpProtocol: plays a session's events on a connection, and writes the log from them.

Invariants: one event is pulled at a time, and none while the peer does not take its replies; the
session's end is told once; a message is delivered exactly as often as the session ends one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from ..errors import reason
from ..log import Log
from ..message import Message, line_text
from ..smtp import events
from ..smtp.dialogue import State
from ..smtp.session import Session
from ..smtp.table import CommandTable
from .connection import Connection, host_port
from .loop import Loop, Timer

if TYPE_CHECKING:
    from ..smtp.rules import Script
    from .tls import Tls

    Channel = Connection | Tls
    Secure = Callable[[Connection, "SmtpProtocol"], Tls]

_EVENTS_A_TURN = 256
"""After so many events of one client, the others have their turn."""


class Phase(Enum):
    """What the protocol does next."""

    PLAYING = "pull events as they come"
    FINISHING = "end after the reply that is owed"
    OVER = "nothing: the session has ended"


PLAYING, FINISHING, OVER = Phase
_STATES = {
    State.BODY: "message body",
    State.RESPONSE: "response to AUTH's challenge",
    State.DECIDING: "decision of its rules",
    State.SECURING: "TLS handshake",
    State.HUNG: "nothing, by a rule",
    State.ENDED: "nothing, it has ended",
}
_GOING_ON = (State.BODY, State.RESPONSE, State.SECURING)
"""What a stop lets a session do after a reply."""
_COMMAND, _DELAY, _CLIENT = "command", "response delay", "client to take replies"
WAITS = (_COMMAND, *_STATES.values(), _DELAY, _CLIENT)
"""What a session can wait for."""


class SmtpProtocol:
    """One client's session.

    :param id: the session's number on its server.
    :param deliver: takes each transaction that ended.
    :param over: told once, when the session has ended; its connection may still be closing.
    :param secure: puts TLS between the connection and this, where there can be any.
    """

    __slots__ = (
        "_answered",
        "_connection",
        "_delay",
        "_deliver",
        "_heard_at",
        "_log",
        "_loop",
        "_over",
        "_phase",
        "_request",
        "_response",
        "_secure",
        "_session",
        "_started_at",
        "_timeout",
        "id",
    )

    def __init__(
        self,
        id: int,
        loop: Loop,
        connection: Connection,
        table: CommandTable,
        log: Log,
        timeout: float,
        deliver: Callable[[Message, Channel], None],
        over: Callable[[SmtpProtocol], None],
        script: Script | None,
        secure: Secure | None,
    ) -> None:
        self.id = id
        self._loop = loop
        self._connection: Channel = connection
        self._secure = secure
        self._log = log
        self._timeout = timeout
        self._deliver = deliver
        self._over = over
        self._session = Session(table, script)
        self._phase = PLAYING
        self._answered = False
        self._delay: Timer | None = None
        self._request = ""
        self._response = ""
        self._started_at = self._heard_at = loop.now

    def start(self) -> None:
        """Greet the client, or wait for its TLS handshake."""
        self._pull()

    @property
    def connection(self) -> Channel:
        """What it speaks over now."""
        return self._connection

    @property
    def client_address(self) -> str:
        """The peer's IP address."""
        return self._connection.client[0]

    def reconfigure(self, table: CommandTable, timeout: float, script: Script | None) -> None:
        """Play by another table and script, and wait for another time, from the next command on."""
        self._session.table = table
        self._session.script = script
        self._timeout = timeout

    def status(self) -> dict[str, object]:
        """How far the session is, as JSON has it; times are in seconds."""
        return {
            "id": self.id,
            "client_address": self.client_address,
            "client_port": self._connection.client[1],
            "state": self._state(),
            "age": round(self._loop.now - self._started_at, 3),
            "silence": round(self._loop.now - self._heard_at, 3),
            "last_request": line_text(self._request),
            "last_response": line_text(self._response),
            "body_size": self._session.body_size,
            "message": self._session.message.record_as_json(with_body=False),
        }

    def _state(self) -> str:
        """What the session waits for."""
        if self._connection.is_blocked:
            return _CLIENT
        if self._delay is not None and self._delay.when > self._loop.now:
            return _DELAY
        return _STATES.get(self._session.state, _COMMAND)

    def finish(self) -> None:
        """End after the reply that is owed; a client that is owed none is told, or may still give one command."""
        if self._phase is not PLAYING:
            return
        self._phase = FINISHING
        if self._delay is None and not self._connection.is_blocked:
            self._pull()

    def cut(self) -> None:
        """End now; a reply that is owed is not sent."""
        self._drop_session()
        self._connection.cut()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.now
        self._session.receive_data(data)
        self._pull()

    def end_received(self) -> None:
        self._session.receive_end()
        if self._delay is None:  # else it came in TLS, together with what is answered late
            self._pull()

    def secured(self, version: str) -> None:
        self._log.info(f"SMTP session secured: {version}")
        self._session.receive_tls(version)
        self._pull()

    def sent(self) -> None:
        if self._delay is None:
            self._pull()

    def timed_out(self, *, sending: bool) -> None:
        self._log_trouble("i/o timeout", sending)
        self._drop_session()
        if sending:
            self._connection.cut()
        else:
            self._connection.close()

    def failed(self, error: OSError, *, sending: bool) -> None:
        call = "write" if sending else "read"
        self._log_trouble(f"{call}: {reason(error)}", sending)
        if not sending:
            self._session.receive_failure()
        self._drop_session()

    def dropped(self) -> None:
        try:
            self._drop_session()
        finally:  # whatever state it is in: nobody may wait for its end
            if self._phase is not OVER:
                self._phase = OVER
                self._over(self)

    def _pull(self) -> None:
        next_event = self._session.next_event
        for _ in range(_EVENTS_A_TURN):
            event = next_event()
            if isinstance(event, events.RequestReceived):
                self._request = event.line
                if self._log.activity:
                    self._log.info(f"SMTP request: {event.line}")
            elif isinstance(event, events.Reply):
                if not self._reply(event):
                    return
            elif isinstance(event, events.NeedData):
                if self._phase is FINISHING and self._session.shut_down():
                    continue
                self._await_data()
                return
            elif isinstance(event, events.ReplyDelayed):
                if type(event) is events.ReplyDelayed:
                    self._log.info(f"SMTP response delay: {event.seconds} sec")
                self._pause(event.seconds)
                return
            elif isinstance(event, events.SessionEnded):
                self._end()
                return
            else:
                self._take_note(event)
        self._pause(0)

    def _take_note(self, event: events.Event) -> None:
        """The rarer events, after which the next can be pulled at once."""
        if isinstance(event, events.BodyReceived):
            if self._log.activity:
                self._log.repeat_info("SMTP request: message binary data portion", event.lines)
        elif isinstance(event, events.TransactionEnded):
            self._deliver(event.message, self._connection)
        elif isinstance(event, events.InputEnded):
            self._log.error("EOF")
        elif isinstance(event, events.RuleFired):
            self._answered = True  # a rule may give no reply: the timeout counts from here
            self._log.info(f"SMTP rule: {event.name}")
        elif isinstance(event, events.ReplyPart):
            self._connection.send(event.wire)
        elif isinstance(event, events.ConnectionReset):
            self._connection.reset()
        elif isinstance(event, events.StartTls):
            self._start_tls()

    def _start_tls(self) -> None:
        self._answered = True  # the handshake has the whole timeout
        if self._secure is not None and isinstance(self._connection, Connection):
            self._connection = self._secure(self._connection, self)

    def _reply(self, answer: events.Reply) -> bool:
        if self._log.activity:
            for line in answer.line.split("\r\n"):
                self._log.info(f"SMTP response: {line}")
        self._answered = True
        self._response = answer.line
        self._connection.send(answer.wire)
        if self._phase is FINISHING and not self._session.shut_down() and self._session.state not in _GOING_ON:
            self._session.end()
        if self._connection.is_blocked:
            self._connection.set_deadline(self._timeout)
            return False
        return True

    def _await_data(self) -> None:
        # Only a new wait gets the whole timeout: bytes that complete nothing do not prolong it.
        if self._answered:
            self._answered = False
            self._connection.set_deadline(self._timeout)

    def _pause(self, seconds: float) -> None:
        self._connection.pause()
        self._connection.clear_deadline()
        self._delay = self._connection.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._delay = None
        self._connection.resume()
        self._pull()

    def _end(self) -> None:
        self._finish_session()
        self._connection.close()

    def _finish_session(self) -> None:
        self._phase = OVER
        self._log.info("SMTP session finished")
        self._over(self)

    def _drop_session(self) -> None:
        """End the session without a word to the peer."""
        if self._delay is not None:
            self._delay.cancel()
        self._session.end()
        while self._phase is not OVER:
            event = self._session.next_event()
            if isinstance(event, events.SessionEnded):
                self._finish_session()
            elif not isinstance(event, (events.Reply, events.ReplyPart, events.ReplyDelayed)):
                self._take_note(event)

    def _log_trouble(self, reason: str, sending: bool) -> None:
        server, client = host_port(self._connection.server), host_port(self._connection.client)
        if sending:
            self._log.warning(f"write tcp {server}->{client}: {reason}")
        else:
            self._log.error(f"read tcp {server}->{client}: {reason}")
