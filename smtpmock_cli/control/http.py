"""HttpProtocol: HTTP/1.1 on a connection, by h11; the only place that knows the library.

Invariants: one request at a time, in order, and none while the client does not take what was answered; what a client
sends is bounded, as is the time in which it does; whatever it sends, it gets an answer, or its connection is closed;
what is made of an answer before the client takes it is bounded too, and its making waits for everything else.

    IDLE → READING → ANSWERING → PREPARING → TESTING → SENDING → FLUSHING → IDLE (or CLOSED)

A client that sends no more (a half-close) still gets its answer. Whether it has left altogether cannot be seen, but
tested: the first bytes of an answer go out ahead of the others, and its system meets them with a reset. An answer
that takes something out is always tested so, and what it took goes back where the test fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from email.utils import formatdate
from enum import Enum
from time import monotonic

import h11

from ..net.connection import Connection
from .exchange import (
    JSON,
    Answer,
    DeferredResponse,
    Pieces,
    Refusal,
    Request,
    Response,
    Steps,
    refusal_response,
    slices,
)
from .target import parse_target

BODY_LIMIT = 1024 * 1024
"""The longest body of a request, in bytes."""
HEAD_LIMIT = 16 * 1024
"""The longest request line with all headers, in bytes."""
REQUEST_TIMEOUT = 30.0
"""Seconds from a request's first byte to its last."""
IDLE_TIMEOUT = 75.0
"""Seconds for which a connection may be idle between requests, or accept nothing of an answer."""
PIECE = 64 * 1024
"""Bytes of an answer that are made before the client has to take some; a longer answer goes out in chunks."""
_QUANTUM = 0.001
"""Seconds of work on a request or an answer before the next client has its turn."""
_PARSED_AT_ONCE = 4 * 1024
"""Bytes that the parser gets at a time, because it takes a whole head, or all trailers, in one step."""
RESET_TIME = 0.05
"""Seconds that a client which sends no more has to meet an answer's first bytes with a reset, if it has left."""

_TOO_LARGE = f"the head, a chunk's head or the trailers are larger than {HEAD_LIMIT} bytes"
_ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class Phase(Enum):
    """What the protocol waits for."""

    IDLE = "a request's first byte"
    READING = "the rest of a request"
    ANSWERING = "an endpoint's answer"
    PREPARING = "enough of the answer's body to begin with"
    TESTING = "a client that has left to say so"
    SENDING = "the rest of it, and the client to take it"
    FLUSHING = "the client to take the last of it"
    CLOSED = "nothing any more"


IDLE, READING, ANSWERING, PREPARING, TESTING, SENDING, FLUSHING, CLOSED = Phase


class HttpProtocol:
    """One client's connection.

    :param answer: returns the answer to a request; may raise :class:`Refusal`.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_cancel",
        "_connection",
        "_fed",
        "_head",
        "_http",
        "_input_ended",
        "_is_last",
        "_is_scheduled",
        "_made",
        "_phase",
        "_pieces",
        "_response",
        "_steps",
        "_unread",
    )

    def __init__(self, connection: Connection, answer: Callable[[Request, Connection], Answer]) -> None:
        self._connection = connection
        self._answer = answer
        self._phase = IDLE
        self._input_ended = False
        self._is_last = False
        """Whether the connection is closed after the current answer."""
        self._is_scheduled = False
        self._http = _parser()
        self._fed = 0
        """Bytes that this parser got."""
        self._unread = b""
        """What has arrived, but for those."""
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._cancel: Callable[[], None] | None = None
        """Cancels a deferred answer."""
        self._steps: Steps[Response] | None = None
        self._response: Response | None = None
        self._pieces: Pieces = iter(())
        self._made: list[bytes] = []
        """Pieces of the body that have not been sent."""

    def start(self) -> None:
        """Wait for the first request."""
        self._connection.start()
        self._connection.set_deadline(IDLE_TIMEOUT)

    def finish(self) -> None:
        """Close the connection once the answer that is owed has been sent; at once where none is."""
        if self._phase in (IDLE, READING) or (self._phase is CLOSED and not self._connection.is_sending):
            self.abort()
        self._is_last = True
        self._connection.hurry()

    def abort(self) -> None:
        """Close the connection now."""
        self._forget()
        self._connection.cut()

    # What the connection calls.

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._phase in (IDLE, READING):
            self._read()
        else:
            self._bound_input()

    def end_received(self) -> None:
        self._input_ended = True
        if self._phase in (IDLE, READING):
            self._read()
        elif self._is_awaited:
            self._test_client()
            self._connection.call_later(RESET_TIME, self._cut_if_reset)

    def sent(self) -> None:
        if self._phase in (IDLE, READING):
            self._read()
        else:
            self._schedule()

    def timed_out(self, *, sending: bool) -> None:
        if sending:
            self.abort()
        elif self._phase is READING:
            self.refuse(Refusal(408, f"the request was not whole within {REQUEST_TIMEOUT:g} s"))
        elif self._phase is IDLE:
            self._close()
        else:  # the server takes long, not the client
            self._connection.set_deadline(IDLE_TIMEOUT)

    def failed(self, error: OSError, *, sending: bool) -> None:
        self._forget()

    def dropped(self) -> None:
        self._forget()

    # Reading a request.

    def _read(self) -> None:
        """Take what has arrived, up to the end of a request, for a while."""
        end = monotonic() + _QUANTUM
        while self._phase in (IDLE, READING) and not self._connection.is_blocked:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                # h11 raises it in a method of its own, so that it would refer to itself, and to all of our frames.
                error.__traceback__ = None
                self.refuse(_parser_refusal(error))
                return
            if event is h11.NEED_DATA:
                if not self._feed():
                    self._await_data()
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._answer_request()
                return
            else:
                self._take(event)
            if monotonic() >= end:  # a body may be of very many, very short chunks
                self._connection.pause()
                self._schedule()
                return

    def _feed(self) -> bool:
        """Give the parser some of what has arrived; returns whether there was anything."""
        if self._fed == 0:
            self._unread = self._unread.lstrip(b"\r\n")  # RFC 9112 section 2.2
        data, self._unread = self._unread[:_PARSED_AT_ONCE], self._unread[_PARSED_AT_ONCE:]
        self._fed += len(data)
        if data or self._input_ended:
            self._http.receive_data(data)
            return True
        return False

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head = event
            self._body.clear()
            self._begin()
            self._check_head(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
            self._bound_body(len(self._body))
        else:  # ConnectionClosed
            self._close()

    def _check_head(self, head: h11.Request) -> None:
        fields = dict(head.headers)
        if self._fed - len(self._http.trailing_data[0]) > HEAD_LIMIT:  # h11 bounds only one that is not whole
            self.refuse(Refusal(431, _TOO_LARGE))
        elif b"transfer-encoding" in fields and (b"content-length" in fields or head.http_version < b"1.1"):
            # RFC 9112 section 6.1: somebody on the way may have read another end of the body than we do.
            self.refuse(Refusal(400, "Transfer-Encoding does not go with Content-Length, nor with HTTP/1.0"))
        else:
            self._bound_body(int(fields.get(b"content-length", 0)))

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

    def _request(self) -> Request:
        assert self._head is not None
        authority, path, query = parse_target(self._head.target.decode("ascii"))
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in self._head.headers}
        if authority is not None:
            headers["host"] = authority  # RFC 9112 section 3.2.2
        return Request(self._head.method.decode("ascii"), path, query, headers, bytes(self._body))

    def refuse(self, refusal: Refusal) -> None:
        """Answer a request that is incomplete or invalid, and close: where the next one begins is unknown."""
        response = refusal_response(refusal)
        response.headers += (("Connection", "close"),)
        self._is_last = True
        self._respond(response)

    # Answering it.

    def _answer_request(self) -> None:
        self._phase = ANSWERING
        self._connection.clear_deadline()
        try:
            answer = self._answer(self._request(), self._connection)
        except Refusal as refusal:
            answer = refusal_response(refusal)
        if isinstance(answer, Response):
            self._respond(answer)
        elif isinstance(answer, DeferredResponse):
            cancel = answer.start(self._respond, self._connection)
            if self._phase is ANSWERING:
                self._cancel = cancel
        else:
            self._steps = answer
            self._schedule()
        self._bound_input()

    def _bound_input(self) -> None:
        """Read on amid an answer, to learn of the client's end; but not without bound."""
        if len(self._unread) > HEAD_LIMIT:
            self._connection.pause()
        else:
            self._connection.resume()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._connection.call_idle(self._work)

    def _work(self) -> None:
        """Do a step of what the phase is about, unless the client has to take something first."""
        self._is_scheduled = False
        if self._phase in (IDLE, READING):
            self._read()
        elif self._phase is ANSWERING and self._steps is not None:
            self._advance(self._steps)
        elif not self._connection.is_blocked:
            if self._phase is PREPARING:
                self._prepare()
            elif self._phase is SENDING:
                self._send_piece()
            elif self._phase is FLUSHING:
                self._flush()

    def _advance(self, steps: Steps[Response]) -> None:
        end = monotonic() + _QUANTUM
        try:
            while monotonic() < end:
                next(steps)
        except StopIteration as stop:
            response: Response = stop.value
        except Refusal as refusal:
            response = refusal_response(refusal)
        else:
            self._schedule()
            return
        self._steps = None
        self._respond(response)

    def _respond(self, response: Response) -> None:
        self._cancel = None
        self._response = response
        self._pieces = slices(response.body) if isinstance(response.body, bytes) else response.body
        self._phase = PREPARING
        self._connection.set_deadline(IDLE_TIMEOUT)
        self._prepare()

    def _prepare(self) -> None:
        """Begin to send as soon as the body is whole, so that its length is known, or long enough."""
        assert self._response is not None
        is_whole = self._make()
        if not (is_whole or self._is_enough()):
            self._schedule()
            return
        length = self._response.length
        if length is None and is_whole:
            length = sum(map(len, self._made))
        if self._response.ended is None:
            self._phase = SENDING
            self._send_head(self._response, length)
            self._send_piece()
        else:
            self._phase = TESTING
            self._test_client(length)
            self._connection.call_later(RESET_TIME if self._connection.has_input_ended() else 0, self._pass_test)

    def _make(self) -> bool:
        """Make pieces until a buffer is full or the time is up; returns whether those were the last."""
        size = sum(map(len, self._made))
        end = monotonic() + _QUANTUM
        while size < PIECE:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            if piece:
                self._made.append(piece)
                size += len(piece)
            if monotonic() >= end:
                break
        return False

    def _send_head(self, response: Response, length: int | None) -> None:
        if self._http.our_state is h11.SEND_BODY:
            return
        fields = [("Date", formatdate(usegmt=True)), ("Content-Type", response.content_type)]
        if length is not None:
            fields.append(("Content-Length", str(length)))
        self._send(h11.Response(status_code=response.status, headers=[*fields, *_ALWAYS, *response.headers]))

    def _test_client(self, length: int | None = None) -> None:
        """Send a first part of the answer, for a client that has left to meet it with a reset."""
        if self._http.our_state is h11.SEND_BODY:
            self._send(h11.Data(data=b" "))  # insignificant in JSON
        else:
            self._send_head(self._response or Response(b"", JSON), length)

    def _pass_test(self) -> None:
        if self._phase is TESTING:
            self._phase = SENDING
            self._schedule()

    @property
    def _is_awaited(self) -> bool:
        """Whether a request has come, and nothing of its answer is made yet."""
        return self._phase is PREPARING or self._cancel is not None

    def _cut_if_reset(self) -> None:
        if self._connection.is_reset:
            self.abort()
        elif sys.platform == "win32" and self._is_awaited:
            self._test_client()  # it fails if the first part has met a reset

    def _is_enough(self) -> bool:
        return sum(map(len, self._made)) >= PIECE

    def _send_piece(self) -> None:
        is_whole = self._make()
        is_head = self._head is not None and self._head.method == b"HEAD"
        if self._made and not is_head and (is_whole or self._is_enough()):
            self._send(h11.Data(data=b"".join(self._made)))
            self._made.clear()
        if is_whole or is_head:
            self._send(h11.EndOfMessage())
            self._phase = FLUSHING
        self._schedule()

    def _flush(self) -> None:
        """Go on once the operating system has taken the whole answer."""
        if self._connection.is_sending:
            self._schedule()
            return
        self._end_response(is_sent=True)
        if self._is_last or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._close()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """To the next request, which may be here already."""
        # A parser for each, because a client's empty lines between two requests cannot be taken out of h11's buffer.
        self._unread = self._http.trailing_data[0] + self._unread
        self._http = _parser()
        self._fed = 0
        self._head = None
        self._phase = IDLE
        self._connection.set_deadline(IDLE_TIMEOUT)
        self._read()

    def _send(self, event: h11.Event) -> None:
        self._connection.send(self._http.send(event) or b"")

    def _close(self) -> None:
        self._forget()
        self._connection.close()

    def _forget(self) -> None:
        """Drop the answer that is owed: there is no client for it any more."""
        self._phase = CLOSED
        self._end_response(is_sent=False)
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _end_response(self, *, is_sent: bool) -> None:
        response, self._response = self._response, None
        pieces, self._pieces = self._pieces, iter(())
        self._made.clear()
        if isinstance(pieces, Generator):
            pieces.close()
        if response is not None and response.ended is not None:
            response.ended(is_sent)


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)


def _parser_refusal(error: h11.RemoteProtocolError) -> Refusal:
    # Not: the line itself, which h11 shows as Python writes it.
    text = str(error).partition(": bytearray(")[0]
    return Refusal(error.error_status_hint, _TOO_LARGE if error.error_status_hint == 431 else text)
