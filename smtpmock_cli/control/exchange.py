"""What the HTTP side's endpoints see: a request, and what to answer it with. No socket, no HTTP library.

Invariant: an endpoint returns an answer or raises :class:`Refusal`; it never waits: an answer to come
is a value, :class:`Waiting`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Refusal(Exception):  # noqa: N818 - a request that is refused, not an error of ours
    """A request that is answered with an error; the text tells the client why.

    :param status: the HTTP status (RFC 9110 section 15), 4xx or 5xx.
    :param headers: what the status asks for besides, as ``Allow``.
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

        :raises Refusal: 400 for a parameter that is not known, or stands twice.
        """
        try:
            found = parse_qs(self.query, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise Refusal(400, "the query is not UTF-8, or has more than 100 parameters") from None
        for name, values in found.items():
            if name not in known:
                raise Refusal(400, f"no such parameter: {name}; known here: {', '.join(known) or 'none'}")
            if len(values) > 1:
                raise Refusal(400, f"{name} stands {len(values)} times")
        return {name: values[0] for name, values in found.items()}

    def json(self) -> Any:
        """The body as JSON.

        :raises Refusal: 400 where it is none.
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
    """A whole answer."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes,
        content_type: str,
        *,
        status: int = 200,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


class Waiting:
    """An answer to come.

    :param start: told whom to give the answer to, once; may give it at once. What it returns is called
        where the client has gone before the answer came.
    """

    __slots__ = ("start",)

    def __init__(self, start: Callable[[Callable[[Response], None]], Callable[[], None]]) -> None:
        self.start = start


Answer = Response | Waiting


def json_response(value: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A value as JSON, in ASCII."""
    return Response(json.dumps(value).encode("ascii"), JSON, status=status, headers=headers)


def text_response(text: str) -> Response:
    return Response(text.encode("utf-8", "replace"), TEXT)


def refusal_response(refusal: Refusal) -> Response:
    return json_response({"error": str(refusal)}, status=refusal.status, headers=refusal.headers)
