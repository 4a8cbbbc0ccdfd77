"""The HTTP side without a socket: bytes in, whole answers out.

Timers are left to the end, where everyone who still waits is answered, but those that an answer waits for.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import h11

from smtpmock_cli import Configuration
from smtpmock_cli.control.api import Api
from smtpmock_cli.control.exchange import JSON, Answer, DeferredResponse, Refusal, Request, Response, refusal_response
from smtpmock_cli.control.gate import Gate
from smtpmock_cli.control.http import CLOSED, IDLE, READING, RESET_TIME, HttpProtocol
from smtpmock_cli.control.mailpit import Mailpit
from smtpmock_cli.control.routes import Router
from smtpmock_cli.control.steps import finish
from smtpmock_cli.log import Log
from smtpmock_cli.message import Message
from smtpmock_cli.net.connection import Connection
from smtpmock_cli.net.loop import Loop, Timer
from smtpmock_cli.sessions import Sessions
from smtpmock_cli.store import MessageStore
from tests.control.web import Whole, whole

_GO_ON = b"HTTP/1.1 100 \r\n\r\n"
_MOST_TURNS = 64


class Wire:
    """In the place of a connection: keeps what is sent."""

    server = ("127.0.0.1", 80)
    client = ("127.0.0.1", 50000)
    is_blocked = is_sending = is_reset = False

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.sent = bytearray()
        self.is_reading = False
        self.is_closed = False

    def start(self) -> None:
        self.is_reading = True

    resume = start

    def pause(self) -> None:
        self.is_reading = False

    def send(self, data: bytes) -> None:
        assert not self.is_closed
        self.sent += data

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_later(0 if seconds == RESET_TIME else seconds, callback)

    def call_idle(self, callback: Callable[[], None]) -> None:
        self._loop.call_idle(callback)

    def has_input_ended(self) -> bool:
        return False

    def set_deadline(self, _seconds: float) -> None:
        pass

    def clear_deadline(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    cut = close


class Service:
    """The HTTP side with its store and its sessions, whose loop turns when it is told to."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.store = MessageStore()
        self.sessions = Sessions(self.loop, Log(None, None), Configuration(http_port=0), None, lambda: None)
        self._api = Api(self.loop, self.store, self.sessions, lambda: True)
        self.router = Router([*self._api.routes(), *Mailpit(self.loop, self.store).routes()])
        self._gate = Gate(["localhost"], "127.0.0.1")
        self.requests: list[Request] = []

    def begin(self, messages: Sequence[Message]) -> None:
        """As after a start, but with these messages."""
        self.sessions.reset_configuration()
        self.store.purge()
        self.requests.clear()
        for message in messages:
            self.store.append(message)

    def answer(self, request: Request, connection: Connection) -> Answer:
        """As the site answers, but that a mistake of ours is the fuzzer's finding."""
        self.requests.append(request)
        self._gate.check_host(request, connection.server[0])
        route, arguments = self.router.find(request)
        self._gate.check_route(request, route)
        return route.endpoint(request, **arguments)

    def response(self, request: Request) -> Whole:
        """The whole response, its body too; a refusal as its response."""
        try:
            answer = self.answer(request, cast(Connection, Wire(self.loop)))
            assert not isinstance(answer, DeferredResponse)
            response = answer if isinstance(answer, Response) else finish(answer)
        except Refusal as refusal:
            response = refusal_response(refusal)
        return whole(response)

    def answer_waiting(self) -> None:
        """As a stop does, and take a turn."""
        self._api.close()
        self.turn()

    def turn(self) -> None:
        self.loop.call_later(0, self.loop.stop)
        self.loop.run()


@cache
def service() -> Service:
    """One for the whole process."""
    made = Service()
    atexit.register(made.loop.close)
    return made


def check_exchange(pieces: Sequence[bytes], messages: Sequence[Message], *, ends: bool) -> None:
    """Send these pieces on one connection, and the end of the input; whatever is answered has to be whole.

    :param messages: what the server keeps at the start.
    """
    serving = service()
    wire = Wire(serving.loop)
    serving.begin(messages)
    protocol = HttpProtocol(cast(Connection, wire), serving.answer)
    protocol.start()
    _feed(serving, protocol, wire, pieces)
    if ends and not wire.is_closed:
        protocol.end_received()
    serving.answer_waiting()
    _turn_until(serving, lambda: protocol._phase in (IDLE, READING, CLOSED))
    assert wire.is_closed or not ends
    _check_answers(bytes(wire.sent), serving.requests)


def _feed(serving: Service, protocol: HttpProtocol, wire: Wire, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        if not wire.is_reading:
            _turn_until(serving, lambda: wire.is_reading or wire.is_closed)
        if wire.is_closed or not wire.is_reading:
            return
        if piece:
            protocol.data_received(piece)
    _turn_until(serving, lambda: wire.is_reading)


def _turn_until(serving: Service, is_met: Callable[[], bool]) -> None:
    """A turn for each request that may be here already, then what waits is answered."""
    for _ in range(_MOST_TURNS):
        serving.turn()
        if is_met():
            return
        serving.answer_waiting()


def _check_answers(sent: bytes, requests: Sequence[Request]) -> None:
    """One whole answer to each request, in order, and to what was none; fewer only where the client was gone."""
    assert _are_answers(sent, [request.method for request in requests]), sent


def _are_answers(sent: bytes, methods: Sequence[str]) -> bool:
    """Whether these are whole answers, to the methods in order, and to what nobody was asked about."""
    if sent in (b"", _GO_ON):
        return True
    if methods:
        rest = _after_answer(sent, methods[0])
        if rest is not None and _are_answers(rest, methods[1:]):
            return True
    # Of what was refused before, only the refusal shows whether it was to HEAD.
    refusals = (_after_answer(sent, method, is_refusal=True) for method in ("GET", "HEAD"))
    return any(rest is not None and _are_answers(rest, methods) for rest in refusals)


def _after_answer(sent: bytes, method: str, *, is_refusal: bool = False) -> bytes | None:
    """What follows the first answer of these bytes, as a client reads it; None where it is no such answer."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(sent)
    content = b""
    head: h11.Response | None = None
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            if head is None or {b"content-length", b"transfer-encoding"} & dict(head.headers).keys():
                return None
            client.receive_data(b"")  # such a body ends with the connection
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            content += event.data
    assert head is not None
    assert head.status_code != 500
    if is_refusal and head.status_code < 400:
        return None
    is_json = dict(head.headers)[b"content-type"] == JSON.encode()
    if is_json and method != "HEAD" and not _is_json(content):
        return None
    return client.trailing_data[0]


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
