"""Site: everything that the HTTP port offers, and the connections to it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from ..log import Log
from ..net.connection import Connection
from ..net.loop import Loop
from ..sessions import Sessions
from ..store import MessageStore
from . import gate
from .api import Api
from .exchange import Answer, Refusal, Request, json_response
from .http import HttpProtocol
from .mailpit import Mailpit
from .routes import Route, Router

_LAST_PATIENCE = 1.0
"""Seconds that the last answers have to be taken."""
CONNECTIONS_LIMIT = 1000
"""Connections that may be open, each of which can wait for messages."""


class Site:
    """Answers requests on accepted connections.

    :param is_ready: whether the server accepts sessions.
    :param connection_ended: told each time that a connection has closed.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        store: MessageStore,
        sessions: Sessions,
        is_ready: Callable[[], bool],
        connection_ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._tell_connection_ended = connection_ended
        self._api = Api(loop, store, sessions, is_ready)
        self._router = Router(
            [
                *self._api.routes(),
                Route("GET", "/smtpmock/openapi.json", _describe),
                *Mailpit(store, partial(loop.call_later, 0)).routes(),
            ]
        )
        configuration = sessions.configuration
        self._names = gate.names(
            ["localhost", socket.gethostname(), configuration.http_host, *configuration.http_names]
        )
        self._connections: set[Connection] = set()
        self._done: Callable[[], None] | None = None

    @property
    def routes(self) -> tuple[Route, ...]:
        """All that is served, in the order in which it is looked up."""
        return self._router.routes

    def accept(self, sock: socket.socket, client: tuple[str, int]) -> None:
        """Serve a client that has connected, or say that there are too many."""
        has_room = len(self._connections) < CONNECTIONS_LIMIT
        connection = Connection(self._loop, sock, client, self._connection_ended)
        protocol = HttpProtocol(self._loop, connection, self._answer)
        connection.protocol = protocol
        self._connections.add(connection)
        if has_room:
            protocol.start()
        else:
            protocol.refuse(Refusal(503, f"more than {CONNECTIONS_LIMIT} connections are open"))

    def finish(self, done: Callable[[], None]) -> None:
        """Answer everyone who still waits, with what there is, and tell when it has been taken, or not in time."""
        self._done = done
        self._loop.call_later(_LAST_PATIENCE, done)
        self._api.close()
        for connection in list(self._connections):
            if connection.is_sending:
                connection.close()
            else:
                connection.cut()
        if not self._connections:
            done()

    def close(self) -> None:
        """Close all connections at once."""
        for connection in list(self._connections):
            connection.cut()

    def _answer(self, request: Request, connection: Connection) -> Answer:
        gate.check(request, self._names | {connection.server[0]})
        try:
            return self._router.answer(request)
        except Refusal:
            raise
        except Exception as error:
            self._log.error(f"HTTP API: {request.method} {request.path}: {error!r}")
            raise Refusal(500, "this server made a mistake; its log says which") from error

    def _connection_ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._tell_connection_ended()
        if self._done is not None and not self._connections:
            self._done()


def _describe(request: Request) -> Answer:
    from .openapi import document  # only here: few ask for it

    request.parameters()
    return json_response(document())
