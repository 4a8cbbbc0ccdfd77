"""HttpProtocol: HTTP/1.1 on a connection, by h11; the only place that knows the library.

Invariants: one request at a time, in order, one a turn of the loop, and none while the client does not
take what was answered; what a client sends is bounded, as is the time in which it does; whatever it
sends, it gets an answer, or its connection is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from enum import Enum
from urllib.parse import urlsplit

import h11

from ..net.connection import Connection
from ..net.loop import Loop
from .exchange import Answer, Refusal, Request, Response, refusal_response

BODY_LIMIT = 1024 * 1024
"""The longest body of a request, in bytes."""
HEAD_LIMIT = 16 * 1024
"""The longest request line with all headers, in bytes."""
REQUEST_TIMEOUT = 30.0
"""Seconds from a request's first byte to its last."""
IDLE_TIMEOUT = 75.0
"""Seconds that a connection may stay open between requests, or take nothing of an answer."""

_ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class Phase(Enum):
    """What the protocol waits for."""

    IDLE = "a request's first byte"
    READING = "the rest of a request"
    ANSWERING = "an endpoint's answer"
    CLOSED = "nothing any more"


IDLE, READING, ANSWERING, CLOSED = Phase


class HttpProtocol:
    """One client's connection.

    :param answer: gives the answer to a request; may raise :class:`Refusal`.
    """

    __slots__ = ("_answer", "_body", "_connection", "_give_up", "_head", "_http", "_loop", "_phase")

    def __init__(self, loop: Loop, connection: Connection, answer: Callable[[Request, Connection], Answer]) -> None:
        self._loop = loop
        self._connection = connection
        self._answer = answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._phase = IDLE
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._give_up: Callable[[], None] | None = None

    def start(self) -> None:
        """Wait for the first request."""
        self._connection.start()
        self._connection.set_deadline(IDLE_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        if self._phase is ANSWERING:
            # Read all the same, to learn of the client's end: but not without bound.
            if len(self._http.trailing_data[0]) > HEAD_LIMIT:
                self._connection.pause()
        else:
            self._read()

    def end_received(self) -> None:
        self._http.receive_data(b"")
        if self._phase is ANSWERING:
            self._close()
        else:
            self._read()

    def sent(self) -> None:
        self._read()

    def timed_out(self, *, sending: bool) -> None:
        if sending:
            self._connection.cut()
        elif self._phase is READING:
            self.refuse(Refusal(408, f"the request was not whole within {REQUEST_TIMEOUT:g} s"))
        else:
            self._close()

    def failed(self, error: OSError, *, sending: bool) -> None:
        self._forget()

    def _read(self) -> None:
        """Take what has arrived, up to the end of a request."""
        while self._phase in (IDLE, READING) and not self._connection.is_blocked:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self.refuse(Refusal(error.error_status_hint, str(error)))
                return
            if event is h11.NEED_DATA:
                self._await_data()
                return
            if isinstance(event, h11.EndOfMessage):
                self._answer_request()
                return
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head = event
            self._body.clear()
            self._begin()
            self._bound_body(_announced_size(event))
        elif isinstance(event, h11.Data):
            self._body += event.data
            self._bound_body(len(self._body))
        else:  # ConnectionClosed
            self._close()

    def _bound_body(self, size: int) -> None:
        if size > BODY_LIMIT:
            self.refuse(Refusal(413, f"the body is larger than {BODY_LIMIT} bytes"))

    def _begin(self) -> None:
        if self._phase is IDLE:
            self._phase = READING
            self._connection.set_deadline(REQUEST_TIMEOUT)

    def _await_data(self) -> None:
        self._connection.resume()
        if self._http.trailing_data[0]:
            self._begin()
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))

    def _answer_request(self) -> None:
        self._phase = ANSWERING
        self._connection.clear_deadline()
        try:
            answer = self._answer(self._request(), self._connection)
        except Refusal as refusal:
            answer = refusal_response(refusal)
        if isinstance(answer, Response):
            self._respond(answer)
            return
        give_up = answer.start(self._respond)
        if self._phase is ANSWERING:
            self._give_up = give_up
            self._connection.resume()

    def _request(self) -> Request:
        assert self._head is not None
        try:
            target = urlsplit(self._head.target.decode("ascii"))
        except ValueError:
            raise Refusal(400, "the target is no URL") from None
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in self._head.headers}
        if target.netloc:
            headers["host"] = target.netloc  # RFC 9112 section 3.2.2
        return Request(self._head.method.decode("ascii"), target.path, target.query, headers, bytes(self._body))

    def _respond(self, response: Response) -> None:
        self._give_up = None
        is_head = self._head is not None and self._head.method == b"HEAD"
        self._head = None
        self._send(
            h11.Response(
                status_code=response.status,
                headers=[
                    ("Date", formatdate(usegmt=True)),
                    ("Content-Type", response.content_type),
                    ("Content-Length", str(len(response.body))),
                    *_ALWAYS,
                    *response.headers,
                ],
            )
        )
        if not is_head:
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._go_on()
        else:
            self._close()

    def _go_on(self) -> None:
        """To the next request, in the next turn if it is here already."""
        self._http.start_next_cycle()
        self._phase = IDLE
        self._connection.set_deadline(IDLE_TIMEOUT)
        if any(self._http.trailing_data):
            self._connection.pause()
            self._loop.call_later(0, self._read)
        else:
            self._connection.resume()

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is no whole request, or none yet, and close, because nobody knows where the next one begins."""
        response = refusal_response(refusal)
        response.headers += (("Connection", "close"),)
        self._respond(response)

    def _send(self, event: h11.Event) -> None:
        self._connection.send(self._http.send(event) or b"")

    def _close(self) -> None:
        self._forget()
        self._connection.close()

    def _forget(self) -> None:
        """The end: nobody is there for the answer that an endpoint still owes."""
        self._phase = CLOSED
        if self._give_up is not None:
            self._give_up()
            self._give_up = None


def _announced_size(head: h11.Request) -> int:
    return next((int(value) for name, value in head.headers if name == b"content-length"), 0)
