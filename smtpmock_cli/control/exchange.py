"""What the HTTP side's endpoints see: a request, and what to answer it with. No socket, no HTTP library.

Invariant: an endpoint never waits and never works for long: what takes time is a value. An endpoint returns a
:class:`Response`; or :data:`Steps`, a generator that returns one, and yields wherever others may have their turn; or
a :class:`DeferredResponse`, which comes when something happens. What is wrong with a request raises :class:`Refusal`,
before or amid the steps. A response's body may be long, so it may be :data:`Pieces`, made while they are sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import chain
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from ..message import Message

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

_SLICE = 64 * 1024

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of a few milliseconds at most, that ends with a result."""
Pieces = Iterator[bytes]
"""A body's bytes, a few milliseconds' work each; an empty one is a step that made none."""


class Refusal(Exception):  # noqa: N818 - a request that is refused, not an error of ours
    """A request that is answered with an error; the text tells the client why.

    :param status: the HTTP status (RFC 9110 section 15), 4xx or 5xx.
    :param headers: what else the status asks for, such as ``Allow``.
    """

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class Request:
    """One request: its body is whole, its path split off its query.

    :param headers: by lower-cased name; of a repeated one the last.
    """

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.query = query

    def parameters(self, *known: str) -> dict[str, str]:
        """The query's parameters by name.

        :raises Refusal: 400 for a parameter that is not known, or is given twice.
        """
        found = self.query_values()
        for name, values in found.items():
            if name not in known:
                raise Refusal(400, f"no such parameter: {name}; known here: {', '.join(known) or 'none'}")
            if len(values) > 1:
                raise Refusal(400, f"{name} is given {len(values)} times")
        return {name: values[0] for name, values in found.items()}

    def query_values(self) -> dict[str, list[str]]:
        """All that the query says, decoded.

        :raises Refusal: 400 where it cannot be decoded, or is too long.
        """
        try:
            return parse_qs(self.query, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise Refusal(400, "the query is not UTF-8, or has more than 100 parameters") from None

    def json(self) -> Any:
        """The body as JSON.

        :raises Refusal: 400 where it is not JSON.
        """
        try:
            return json.loads(self.body, parse_constant=_refuse_constant, parse_float=_number)
        except (ValueError, RecursionError):
            raise Refusal(400, "the body is not JSON") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _number(text: str) -> float:
    """JSON has one kind of numbers: 1.0 is 1 (RFC 8259 section 6)."""
    number = float(text)
    return int(number) if number.is_integer() else number


class Response:
    """An answer.

    :param body: the bytes, or the pieces that make them.
    :param length: the pieces' number of bytes, where that is known before they are made.
    :param ended: called once when it is over: with True, the whole response was handed to the operating system;
        with False, the client was gone before.
    :ivar holds: what lives as long as the response does.
    """

    __slots__ = ("body", "content_type", "ended", "headers", "holds", "length", "status")

    def __init__(
        self,
        body: bytes | Pieces,
        content_type: str,
        *,
        status: int = 200,
        headers: tuple[tuple[str, str], ...] = (),
        length: int | None = None,
        ended: Callable[[bool], None] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.length = len(body) if isinstance(body, bytes) else length
        self.ended = ended
        self.holds: object = None


class Scheduler(Protocol):
    """Calls back on behalf of one client; what the callbacks raise ends its connection."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Cancellable:
        """Call back after this many seconds."""

    def call_idle(self, callback: Callable[[], None]) -> None:
        """Call back when nothing else is to be done."""


class Cancellable(Protocol):
    """A pending call."""

    def cancel(self) -> object:
        """Do not call."""


class DeferredResponse:
    """An answer that comes later, as JSON with status 200.

    :param start: called with a callback that takes the answer, once, and possibly at once. Returns what to call
        if the client leaves before the answer comes.
    """

    __slots__ = ("start",)

    def __init__(self, start: Callable[[Callable[[Response], None], Scheduler], Callable[[], None]]) -> None:
        self.start = start


Answer = Response | DeferredResponse | Steps[Response]


def json_response(value: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A value as JSON, in ASCII."""
    return Response(json.dumps(value).encode("ascii"), JSON, status=status, headers=headers)


def mail_response(message: Message, content_type: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A message with its trace header; its body is not copied."""
    head = message.trace_header()
    length = len(head) + len(message.msg_request)
    return Response(chain((head,), slices(message.msg_request)), content_type, headers=headers, length=length)


def slices(data: bytes) -> Pieces:
    """Bytes in pieces, none of them a copy."""
    view: Any = memoryview(data)
    return (view[at : at + _SLICE] for at in range(0, len(data), _SLICE))


def text_response(text: str) -> Response:
    return Response(text.encode("utf-8", "replace"), TEXT)


def refusal_response(refusal: Refusal) -> Response:
    return json_response({"error": str(refusal)}, status=refusal.status, headers=refusal.headers)
