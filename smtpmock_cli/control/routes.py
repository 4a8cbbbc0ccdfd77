"""Routes: which endpoint answers which method and path.

Invariant: the first row whose path fits answers; a path is only ever compared, never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import unquote

from .exchange import Answer, Refusal, Request


class Route:
    """One row.

    :param path: segments between slashes; ``{name}`` in one stands for any text, which the endpoint
        gets as the argument of that name, and may have fixed text before and behind it.
    :param endpoint: called with the request and the path's arguments.
    """

    __slots__ = ("_segments", "endpoint", "method", "path")

    def __init__(self, method: str, path: str, endpoint: Callable[..., Answer]) -> None:
        self.method = method
        self.path = path
        self.endpoint = endpoint
        self._segments = path.split("/")

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The path's arguments, or None where it is another path."""
        if len(segments) != len(self._segments):
            return None
        arguments = {}
        for wanted, given in zip(self._segments, segments, strict=True):
            before, brace, rest = wanted.partition("{")
            if not brace:
                if wanted != given:
                    return None
                continue
            name, _, behind = rest.partition("}")
            inner = given[len(before) : len(given) - len(behind)]
            if not inner or before + inner + behind != given:
                return None
            arguments[name] = inner
        return arguments


class Router:
    """The table of all routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)

    def answer(self, request: Request) -> Answer:
        """What the endpoint answers; HEAD is answered as GET, its body is dropped by who sends it.

        :raises Refusal: 404 for an unknown path, 405 for a method that the path has not; and whatever
            the endpoint refuses.
        """
        segments = [unquote(segment) for segment in request.path.split("/")]
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        for route in self.routes:
            arguments = route.match(segments)
            if arguments is None:
                continue
            if route.method == method:
                return route.endpoint(request, **arguments)
            allowed.append(route.method)
        if not allowed:
            raise Refusal(404, f"no such path: {request.path}")
        if "GET" in allowed:
            allowed.append("HEAD")
        methods = ", ".join(sorted(set(allowed)))
        raise Refusal(405, f"{request.method} is not for {request.path}; {methods} are", (("Allow", methods),))
