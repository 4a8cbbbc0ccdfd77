"""Sessions: the SMTP sessions under way, and the configuration that they play by.

Invariant: a configuration is in force for every session, old and new, from its next command on.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .configuration import Configuration
from .errors import ConfigurationError, ServerStartError
from .log import Log
from .message import Message
from .net.connection import Connection
from .net.loop import Loop
from .net.smtp import SmtpProtocol
from .smtp.commands import plain_table
from .smtp.table import CommandTable

if TYPE_CHECKING:
    from .net.smtp import Channel, Secure
    from .smtp.rules import Rules, Script


_TOO_MANY = b"421 Too many connections\r\n"
_NO_TRUSTME = "the library trustme is missing: pip install 'smtpmock-cli[tls]', or give a certificate by -tlsCert"


def command_table(configuration: Configuration) -> CommandTable:
    """The table that a configuration asks for."""
    if configuration.is_extended:
        from .smtp.esmtp import extended_table  # only here: its grammar would cost each start

        return extended_table(configuration)
    if configuration.rules:
        from .smtp.concealment import concealed  # only here, as above

        return plain_table(configuration).but(shown=concealed)  # a rule may have answered AUTH
    return plain_table(configuration)


class Sessions:
    """Takes accepted connections and plays a session on each; directs the log as configured.

    :param keep: takes each message that a session ends; None where nobody wants them.
    :param connection_ended: told each time that a connection has closed.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        configuration: Configuration,
        keep: Callable[[Message], None] | None,
        connection_ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._keep = keep
        self._tell_connection_ended = connection_ended
        self.server_address = ""
        """The address that all clients have connected to; empty where they may differ."""
        self._count = 0
        self._rules: Rules | None = None
        self._secure: Secure | None = None
        self.tls_authority: bytes | None = None
        """The certificate that a client has to trust, as PEM, where one was made for this start."""
        self._playing: set[SmtpProtocol] = set()
        self._connections: set[Connection] = set()
        self._started_with = configuration
        self.reconfigure(configuration)

    @property
    def is_empty(self) -> bool:
        """Whether no connection is left, one that is only closing included."""
        return not self._connections

    @property
    def under_way(self) -> list[SmtpProtocol]:
        """The sessions that have not ended, oldest first."""
        return sorted(self._playing, key=lambda session: session.id)

    def accept(self, sock: socket.socket, client: tuple[str, int]) -> None:
        """Begin a session with a client that has connected, if there may be one more."""
        if len(self._playing) >= self.configuration.max_connections:
            self._turn_away(sock, client)
            return
        self._log.info("SMTP session started")
        connection = Connection(self._loop, sock, client, self._connection_ended)
        self._connections.add(connection)
        connection.run(partial(self._begin_session, connection))

    def _begin_session(self, connection: Connection) -> None:
        self._count += 1
        session = SmtpProtocol(
            self._count,
            self._loop,
            connection,
            self._table,
            self._log,
            self._timeout,
            self._deliver,
            self._playing.discard,
            self._script(self._count, connection.client[0]),
            self._secure,
        )
        connection.protocol = session
        self._playing.add(session)
        connection.start()
        session.start()

    def _turn_away(self, sock: socket.socket, client: tuple[str, int]) -> None:
        self._log.warning(f"SMTP session refused: {self.configuration.max_connections} are under way")
        connection = Connection(self._loop, sock, client, self._connection_ended)
        self._connections.add(connection)
        if not self._table.tls_first:
            connection.send(_TOO_MANY)
        connection.run(connection.close)

    def load_certificate(self) -> bytes | None:
        """Make TLS possible, where it is wanted; gives what to trust, as ``tls_authority``.

        :raises ServerStartError: there is no certificate, or it is of no use; the text says why.
        """
        wanted = self.configuration
        if not wanted.tls:
            return None
        from .net.tls import Tls, self_signed_context, server_context  # only here: OpenSSL is of some weight

        try:
            if wanted.tls_self_signed:
                context, self.tls_authority = self_signed_context()
            else:
                context = server_context(wanted.tls_cert, wanted.tls_key)
        except OSError as error:
            raise ServerStartError(f"Failed to load TLS certificate {error}") from error
        except ImportError as error:
            raise ServerStartError(f"Failed to make a TLS certificate: {_NO_TRUSTME}") from error
        self._secure = partial(Tls, context)
        return self.tls_authority

    def reconfigure(self, configuration: Configuration) -> None:
        """Play by another configuration."""
        self.configuration = configuration
        self._table = command_table(configuration)
        self._timeout = configuration.session_timeout
        self._rules = self._rules_at_work(configuration)
        for session in self._playing:
            session.reconfigure(self._table, self._timeout, self._script(session.id, session.client_address))
        self._log.direct(*_log_streams(configuration), activity=configuration.log_server_activity)

    @property
    def rules_fired(self) -> list[int]:
        """How often each rule in force has fired."""
        return self._rules.fired if self._rules is not None else []

    def changed(self, changes: dict[str, Any]) -> Configuration:
        """The configuration in force, but with some fields changed; None is a field's default.

        :raises ConfigurationError: a field cannot change while the server runs, or as Configuration's own.
        """
        fixed = sorted(changes.keys() & {known.field for known in Configuration.SETTINGS if known.fixed})
        if fixed:
            raise ConfigurationError(f"{', '.join(fixed)} cannot change while the server runs")
        return self.configuration.but(**changes)

    def reset_configuration(self) -> None:
        """Play by the configuration of the start."""
        self.reconfigure(self._started_with)

    def finish(self) -> None:
        """Let each session end after the reply that it owes, and wait for nobody's end whose session is over."""
        for session in list(self._playing):
            session.connection.run(session.finish)
        for connection in self._connections:
            connection.hurry()

    def cut(self) -> None:
        """End each session at once, whatever it is doing."""
        for session in list(self._playing):
            session.connection.run(session.cut)

    def close(self) -> None:
        """Close the connections that are left, those too that only wait for their peer's end."""
        for connection in list(self._connections):
            connection.cut()

    def _rules_at_work(self, configuration: Configuration) -> Rules | None:
        if not configuration.rules:
            return None
        from .smtp.rules import Rules  # only here: few servers have any

        if self._rules is not None and self._rules.are(configuration.rules, configuration.seed):
            return self._rules  # what was found out about them stays known
        clock = self._loop.clock
        return Rules(configuration.rules, configuration.seed, clock, self._open_sessions, before=self._rules)

    def _script(self, session: int, client: str) -> Script | None:
        return self._rules.script(session, client) if self._rules is not None else None

    def _open_sessions(self, session: int, client: str | None) -> int:
        others = (other for other in self._playing if other.id != session)
        return 1 + sum(client is None or other.client_address == client for other in others)

    def _deliver(self, message: Message, connection: Channel) -> None:
        if self._keep is None:
            return
        message.received_at = time.time()
        message.client_address = connection.client[0]
        message.server_address = self.server_address or connection.server[0]
        self._keep(message)

    def _connection_ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._tell_connection_ended()


def _log_streams(configuration: Configuration) -> tuple[Any, Any]:
    """The streams for activity and for errors: stdout, except where it carries the messages, and stderr."""
    if not configuration.log_to_stdout:
        return None, None
    if configuration.messages_file:
        from .messages_file import is_stdout  # only here: loaded with the file

        if is_stdout(configuration.messages_file):
            return sys.stderr, sys.stderr
    return sys.stdout, sys.stderr
