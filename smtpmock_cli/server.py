"""Server: listens, plays sessions, stops; in a thread of its own, or in the caller's.

Invariants: stopping is a sequence that is seen in ``_state`` and in the log: stop accepting → let
the sessions end → deadline → cut; everything but the public methods runs in the loop's thread.
"""

from __future__ import annotations

import socket
import sys
import time
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .configuration import Configuration
from .errors import ServerStartError, ServerStateError
from .log import Log
from .message import Message
from .net.connection import Connection
from .net.listener import Listener, listen
from .net.loop import Loop
from .net.signals import stop_signals
from .net.smtp import SmtpProtocol
from .smtp.commands import command_table

if TYPE_CHECKING:
    import threading

    from .store import MessageStore


_STOPPED = "SMTP mock server was stopped successfully"
_FORCED = "SMTP mock server was force stopped by timeout"


class _State(Enum):
    """What a server is doing."""

    STOPPED = "not listening"
    RUNNING = "accepting connections"
    STOPPING = "letting the sessions end"


class Server:
    """A fake SMTP server.

    ``with Server(configuration) as server:`` starts it and stops it. Messages stay readable after
    a stop.

    :param configuration: how it behaves; None for the defaults.
    :param keep_messages: False forgets each message once its session is done with it.
    """

    def __init__(self, configuration: Configuration | None = None, *, keep_messages: bool = True) -> None:
        self.configuration = configuration or Configuration()
        self._table = command_table(self.configuration)
        self._store = _new_store() if keep_messages else None
        self._state = _State.STOPPED
        self._port_number = 0
        self._message_count = 0
        self._thread: threading.Thread | None = None
        self._sessions: set[SmtpProtocol] = set()
        self._connections: set[Connection] = set()
        self._log: Log
        self._loop: Loop
        self._listener: Listener

    @property
    def port_number(self) -> int:
        """The port listened on; 0 before the first start."""
        return self._port_number

    def start(self) -> None:
        """Listen, and serve in a thread; connections are accepted once this returns.

        :raises ServerStartError: the address cannot be listened on.
        :raises ServerStateError: the server runs already.
        """
        import threading  # only here: the daemon serves in its main thread

        self._set_up()
        self._open()
        self._thread = threading.Thread(target=self._run, name=f"smtpmock:{self._port_number}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, let the sessions end for ``shutdown_timeout`` seconds, cut what is left.

        :raises ServerStateError: the server does not run in a thread.
        """
        if self._thread is None:
            raise ServerStateError("the server is not running")
        self._loop.call_from_thread(self._begin_stop)
        self._thread.join()
        self._thread = None

    def serve(self) -> None:
        """Listen and serve in this thread, the main one, until SIGINT, SIGQUIT or SIGTERM.

        The first signal is a :meth:`stop`; a second one cuts what is left at once.

        :raises ServerStartError: the address cannot be listened on.
        :raises ServerStateError: the server runs already.
        """
        self._set_up()
        with stop_signals(self._loop, self._signalled):
            self._open()
            self._run()

    def messages(self) -> list[Message]:
        """All messages that arrived, in order; a copy."""
        return self._kept.copy()

    def messages_and_purge(self) -> list[Message]:
        """All messages that arrived, taken out in the same step."""
        return self._kept.purge()

    def wait_for_messages(self, count: int, timeout: float) -> list[Message]:
        """All messages, as soon as ``count`` have arrived; ``timeout`` is in seconds.

        :raises WaitTimeoutError: fewer arrived in time; it carries them.
        """
        return self._kept.wait(count, timeout)

    def wait_for_messages_and_purge(self, count: int, timeout: float) -> list[Message]:
        """As :meth:`wait_for_messages`, and take them out in the same step.

        :raises WaitTimeoutError: fewer arrived in time; it carries them, and none is taken out.
        """
        return self._kept.wait_and_purge(count, timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self.stop()

    @property
    def _kept(self) -> MessageStore:
        if self._store is None:
            raise ServerStateError("the server was told to keep no messages")
        return self._store

    def _set_up(self) -> None:
        if self._thread is not None or self._state is not _State.STOPPED:
            raise ServerStateError("the server is running already")
        self._log = _new_log(self.configuration)
        self._loop = Loop(write_log=self._log.flush)

    def _open(self) -> None:
        asked = self.configuration.port_number
        try:
            sock = listen(self.configuration.host_address, asked)
        except (OSError, OverflowError, UnicodeError) as error:
            failure = ServerStartError(asked)
            self._log.error(str(failure))
            self._log.flush()
            self._loop.close()
            raise failure from error
        self._listener = Listener(self._loop, sock, self._accepted, self._log.error)
        self._port_number = self._listener.port
        self._state = _State.RUNNING
        self._log.info(f"SMTP mock server started on port: {self._port_number}")
        self._log.flush()

    def _run(self) -> None:
        try:
            self._loop.run()
        finally:
            self._listener.close()
            for connection in list(self._connections):
                connection.cut()
            self._log.flush()
            self._loop.close()
            self._state = _State.STOPPED

    def _accepted(self, sock: socket.socket, client: tuple[str, int]) -> None:
        self._log.info("SMTP session started")
        connection = Connection(self._loop, sock, client, self._connection_ended)
        session = SmtpProtocol(
            self._loop,
            connection,
            self._table,
            self._log,
            self.configuration.session_timeout,
            self._deliver,
            self._session_over,
        )
        connection.protocol = session
        self._connections.add(connection)
        self._sessions.add(session)
        session.start()

    def _deliver(self, message: Message, connection: Connection) -> None:
        if self._store is None:
            return
        self._message_count += 1
        message.id = self._message_count
        message.received_at = time.time()
        message.client_address = connection.client[0]
        message.server_address = connection.server[0]
        self._store.append(message)

    def _session_over(self, session: SmtpProtocol) -> None:
        self._sessions.discard(session)
        self._stop_when_done()

    def _connection_ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._listener.resume()
        self._stop_when_done()

    def _signalled(self) -> None:
        if self._state is _State.RUNNING:
            self._begin_stop()
        else:
            self._cut_sessions()

    def _begin_stop(self) -> None:
        if self._state is not _State.RUNNING:
            return
        self._state = _State.STOPPING
        self._listener.close()
        self._log.warning("SMTP mock server is in the shutdown mode and won't accept new connections")
        for session in self._sessions:
            session.finish()
        self._loop.call_later(self.configuration.shutdown_timeout, self._cut_sessions)
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._state is _State.STOPPING and not self._connections:
            self._stopped(_STOPPED)

    def _cut_sessions(self) -> None:
        """The deadline, or a second signal."""
        forced = bool(self._sessions)
        self._state = _State.STOPPED
        for session in list(self._sessions):
            session.cut()
        self._stopped(_FORCED if forced else _STOPPED)

    def _stopped(self, line: str) -> None:
        self._state = _State.STOPPED
        self._log.info(line)
        self._loop.stop()


def _new_log(configuration: Configuration) -> Log:
    if not configuration.log_to_stdout:
        return Log(None, None)
    return Log(sys.stdout, sys.stderr, activity=configuration.log_server_activity)


def _new_store() -> MessageStore:
    from .store import MessageStore  # only here: it needs threading, and the daemon does not

    return MessageStore()
