"""Site: everything that the HTTP port offers, and the connections to it."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..errors import internal_error
from ..log import Log
from ..net.connection import Connection
from ..net.loop import Loop
from ..sessions import Sessions
from ..store import MessageStore
from .api import Api
from .exchange import Answer, DeferredResponse, Refusal, Request, Response, Steps, json_response
from .gate import Gate
from .http import HttpProtocol
from .mailpit import Mailpit
from .routes import Route, Router

CONNECTIONS_LIMIT = 1000
"""Connections that may be open, each of which can wait for messages."""


class Site:
    """Answers requests on accepted connections.

    :param host: the address that is listened on; empty for every interface.
    :param is_ready: whether the server accepts sessions.
    :param connection_ended: called each time that a connection has closed.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        store: MessageStore,
        sessions: Sessions,
        host: str,
        is_ready: Callable[[], bool],
        connection_ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._tell_connection_ended = connection_ended
        self._api = Api(loop, store, sessions, is_ready)
        describe = Route("GET", "/smtpmock/openapi.json", _describe)
        self._router = Router([*self._api.routes(), describe, *Mailpit(loop, store).routes()])
        configuration = sessions.configuration
        self._gate = Gate(["localhost", socket.gethostname(), configuration.http_host, *configuration.http_names], host)
        self._protocols: dict[Connection, HttpProtocol] = {}
        self._done: Callable[[], None] | None = None

    @property
    def routes(self) -> tuple[Route, ...]:
        """All that is served, in the order in which it is looked up."""
        return self._router.routes

    def accept(self, sock: socket.socket, client: tuple[str, int]) -> None:
        """Serve a client that has connected, or say that there are too many."""
        has_room = len(self._protocols) < CONNECTIONS_LIMIT
        connection = Connection(self._loop, sock, client, self._connection_ended)
        protocol = HttpProtocol(connection, self._answer)
        connection.protocol = protocol
        self._protocols[connection] = protocol
        refusal = Refusal(503, f"more than {CONNECTIONS_LIMIT} connections are open")
        connection.run(protocol.start if has_room else lambda: protocol.refuse(refusal))

    def finish(self, done: Callable[[], None]) -> None:
        """Answer everyone who still waits, with what there is; call back when it has been taken."""
        self._done = done
        self._api.close()
        for connection, protocol in list(self._protocols.items()):
            connection.run(protocol.finish)
        if not self._protocols:
            done()

    def close(self) -> None:
        """Close all connections at once."""
        for connection, protocol in list(self._protocols.items()):
            connection.run(protocol.abort)

    def _answer(self, request: Request, connection: Connection) -> Answer:
        self._gate.check_host(request, connection.server[0])
        route, arguments = self._router.find(request)
        self._gate.check_route(request, route)
        try:
            answer = route.endpoint(request, **arguments)
        except Refusal:
            raise
        except Exception as error:
            raise self._internal_error(request, error) from error
        return answer if isinstance(answer, (Response, DeferredResponse)) else self._guarded(answer, request)

    def _guarded(self, steps: Steps[Response], request: Request) -> Steps[Response]:
        """The same steps; an error of ours in them is answered as such."""
        try:
            return (yield from steps)
        except Refusal:
            raise
        except Exception as error:
            raise self._internal_error(request, error) from error

    def _internal_error(self, request: Request, error: Exception) -> Refusal:
        self._log.error(f"HTTP API: {request.method} {request.path}: {internal_error(error)}")
        return Refusal(500, "internal error; see the server log")

    def _connection_ended(self, connection: Connection) -> None:
        self._protocols.pop(connection, None)
        self._tell_connection_ended()
        if self._done is not None and not self._protocols:
            self._done()


def _describe(request: Request) -> Answer:
    from .openapi import document  # only here: few ask for it

    request.parameters()
    return json_response(document())
