"""Routes: which endpoint answers which method and path, and what another site's page may ask for.

Invariants: the first row whose path fits answers; a path is only ever compared, never opened; a row is closed to
other sites' pages unless it says otherwise.
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
    :param embeddable: whether any page may link to it, frame it, and show it as a picture: it only shows something.
    :param changes: says of a GET whether it changes something, against RFC 9110 section 9.2.1.
    """

    __slots__ = ("_segments", "changes", "embeddable", "endpoint", "method", "path")

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Answer],
        *,
        embeddable: bool = False,
        changes: Callable[[Request], bool] = lambda _: False,
    ) -> None:
        self.method = method
        self.path = path
        self.endpoint = endpoint
        self.embeddable = embeddable
        self.changes = changes
        self._segments = segments(path)

    def match(self, given_segments: list[str]) -> dict[str, str] | None:
        """The path's arguments, or None where it is another path."""
        if len(given_segments) != len(self._segments):
            return None
        arguments = {}
        for wanted, given in zip(self._segments, given_segments, strict=True):
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

    def find(self, request: Request) -> tuple[Route, dict[str, str]]:
        """The row for a request, and its path's arguments; HEAD has GET's.

        :raises Refusal: 404 for an unknown path, 405 for a method that the path has not.
        """
        given = [unquote(segment) for segment in segments(request.path)]
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        for route in self.routes:
            arguments = route.match(given)
            if arguments is None:
                continue
            if route.method == method:
                return route, arguments
            allowed.append(route.method)
        if not allowed:
            raise Refusal(404, f"no such path: {request.path}")
        if "GET" in allowed:
            allowed.append("HEAD")
        methods = ", ".join(sorted(set(allowed)))
        raise Refusal(405, f"{request.method} is not for {request.path}; {methods} are", (("Allow", methods),))


def segments(path: str) -> list[str]:
    """What is between the slashes, however many there are: clients join base URLs and paths carelessly."""
    # Not: a redirect to the path as it should be, because clients repeat DELETE and PUT as GET there.
    return [segment for segment in path.split("/") if segment]
