"""Server: listens, plays sessions, stops; in a thread of its own, or in the caller's.

Invariants: stopping is a sequence that is seen in ``_state`` and in the log: stop accepting → let
the sessions end → deadline → cut; everything but the public methods runs in the loop's thread.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from .configuration import Configuration
from .errors import SHORTAGES, ServerStartError, ServerStateError, internal_error, reason
from .log import Log
from .message import Message
from .net.listener import OUT_OF_RESOURCES, Listener, listen, raise_descriptor_limit_soon
from .net.loop import Loop
from .net.signals import stop_signals
from .sessions import Sessions

if TYPE_CHECKING:
    import threading

    from .control.site import Site
    from .deliveries import Deliveries
    from .port_file import PortFile
    from .store import MessageStore

    Accepted = Callable[[socket.socket, tuple[str, int]], None]

_LAST_PATIENCE = 1.0
"""Seconds that the last answers over HTTP have to be taken."""
_SMTP = "SMTP mock server"
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

    :param configuration: how it behaves from each start on; None for the defaults.
    :param keep_messages: False keeps messages in memory only where the HTTP API can give them out.
    """

    def __init__(self, configuration: Configuration | None = None, *, keep_messages: bool = True) -> None:
        self.configuration = configuration or Configuration()
        self._deliveries: Deliveries | None = None
        in_memory = keep_messages or self.configuration.http_port is not None
        if in_memory or self.configuration.messages_file:
            from .deliveries import Deliveries  # only here: the daemon may keep nothing

            self._deliveries = Deliveries(in_memory=in_memory)
        self._state = _State.STOPPED
        self._port_number = 0
        self._http_port_number: int | None = None
        self._tls_authority: bytes | None = None
        self._thread: threading.Thread | None = None
        self._listeners: list[Listener]
        self._port_file: PortFile | None
        self._site: Site | None
        self._early: list[tuple[socket.socket, tuple[str, int]]]
        """Clients of HTTP that came while what answers them was being loaded."""

    @property
    def port_number(self) -> int:
        """The port listened on; 0 before the first start."""
        return self._port_number

    @property
    def http_port_number(self) -> int | None:
        """The HTTP API's port; None where it is off, and before the first start."""
        return self._http_port_number

    @property
    def tls_authority(self) -> bytes | None:
        """The certificate to trust, as PEM, where ``tls_self_signed`` made one at the last start."""
        return self._tls_authority

    def start(self) -> None:
        """Listen, and serve in a thread; connections are accepted once this returns.

        :raises ServerStartError: the address cannot be listened on.
        :raises ServerStateError: the server runs already.
        """
        import threading  # only here: the daemon serves in its main thread

        self._set_up()
        try:
            self._open()
        except ServerStartError:
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"smtpmock:{self._port_number}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, let the sessions end for ``shutdown_timeout`` seconds, cut what is left.

        :raises ServerStateError: the server does not run in a thread.
        """
        if self._thread is None:
            raise ServerStateError("the server is not running")
        self._loop.call_from_thread(self._begin_stop, self._stop_at_once)
        self._thread.join()
        self._loop.close()
        self._thread = None

    def reconfigure(self, **changes: Any) -> None:
        """Change settings while the server runs, from each session's next command on, until it stops.

        A rule that stays goes on counting.

        :raises ConfigurationError: a setting is wrong, or cannot change while the server runs.
        :raises ServerStateError: the server does not run in a thread.
        """
        if self._thread is None:
            raise ServerStateError("the server is not running")
        made = self._sessions.changed(changes)
        self._loop.call_from_thread(lambda: self._sessions.reconfigure(made))

    def serve(self, *, is_last: bool = False) -> None:
        """Listen and serve in this thread, the main one, until SIGINT, SIGQUIT or SIGTERM.

        The first signal is a :meth:`stop`; a second one cuts what is left at once.

        :param is_last: the process ends with this: its limit of descriptors is raised, later signals are ignored.
        :raises ServerStartError: the address cannot be listened on.
        :raises ServerStateError: the server runs already.
        """
        self._set_up()
        try:
            with stop_signals(self._loop, self._signalled, self._stop_at_once, restored=not is_last):
                self._open()
                if is_last:
                    raise_descriptor_limit_soon(self._loop)
                self._run()
        finally:
            self._loop.close()

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

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self.stop()

    @property
    def _kept(self) -> MessageStore:
        if self._deliveries is None or self._deliveries.store is None:
            raise ServerStateError("the server was told to keep no messages")
        return self._deliveries.store

    def _set_up(self) -> None:
        if self._thread is not None or self._state is not _State.STOPPED:
            raise ServerStateError("the server is running already")
        self._log = Log(None, None)
        self._listeners = []
        self._port_file = self._site = None
        self._early = []
        keep = self._deliveries.take if self._deliveries is not None else None
        with self._start_errors():
            self._loop = Loop(write_log=self._log.flush, on_error=self._log_internal_error)
            self._log.when_writable = self._loop.when_writable
            try:
                self._sessions = Sessions(self._loop, self._log, self.configuration, keep, self._connection_ended)
            except BaseException:
                self._loop.close()
                raise

    @contextmanager
    def _start_errors(self) -> Iterator[None]:
        """Make a start error of whatever a lack of descriptors or memory comes to."""
        try:
            yield
        except ServerStartError:
            raise
        except SHORTAGES as error:
            raise _start_error(_SMTP, self.configuration.port_number, reason(error)) from error

    def _open(self) -> None:
        try:
            with self._start_errors():
                self._start_listening()
        except ServerStartError as failure:
            with suppress(MemoryError):  # it is raised all the same
                self._log.error(str(failure))
            self._close()
            raise
        self._state = _State.RUNNING
        self._log.flush()

    def _start_listening(self) -> None:
        wanted = self.configuration
        if self._deliveries is not None:
            self._deliveries.write_to(wanted.messages_file, self._log, self._loop)
        self._tls_authority = self._sessions.load_certificate()
        smtp = self._listen(_SMTP, wanted.host_address, wanted.port_number, self._sessions.accept)
        self._port_number = smtp.port
        self._sessions.server_address = smtp.host
        self._http_port_number = port = wanted.http_port
        if port is not None:
            self._http_port_number = self._listen("HTTP API", wanted.http_host, port, self._accept_http).port
        if wanted.port_file:
            from .port_file import PortFile  # only here, as above

            self._port_file = PortFile(wanted.port_file, smtp=self._port_number, http=self._http_port_number)
        for listener in self._listeners:
            listener.reserve()

    def _listen(self, what: str, host: str, port: int, accepted: Accepted) -> Listener:
        try:
            sock = listen(host, port)
        except (OSError, OverflowError, ValueError) as error:
            is_short = getattr(error, "errno", None) in OUT_OF_RESOURCES
            raise _start_error(what, port, reason(error) if is_short else "") from error
        listener = Listener(self._loop, sock, accepted, self._log.error)
        self._listeners.append(listener)
        self._log.info(f"{what} started on port: {listener.port}")
        return listener

    def _run(self) -> None:
        try:
            self._loop.run()
        finally:
            self._close()
            self._state = _State.STOPPED

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._sessions.close()
        if self._site is not None:
            self._site.close()
        for sock, _ in self._early:
            sock.close()
        if self._port_file is not None:
            self._port_file.remove()
        if self._deliveries is not None:
            self._deliveries.close()
        self._log.close()

    def _accept_http(self, sock: socket.socket, client: tuple[str, int]) -> None:
        if self._site is not None:
            self._site.accept(sock, client)
            return
        self._early.append((sock, client))
        if len(self._early) == 1:
            self._loop.call_in_thread(_site_class, self._open_site, self._refuse_early)

    def _open_site(self, site_class: type[Site]) -> None:
        host = self._listeners[1].host
        self._site = site_class(
            self._loop, self._log, self._kept, self._sessions, host, self._runs, self._connection_ended
        )
        early, self._early = self._early, []
        for sock, client in early:
            self._site.accept(sock, client)
        if self._state is _State.STOPPED:
            # In the iteration after the next, once their requests have been read.
            finish = partial(self._loop.call_later, 0, self._finish_site, self._stop_at_once)
            self._loop.call_idle(finish, self._stop_at_once)

    def _refuse_early(self, error: Exception) -> None:
        """What answers HTTP cannot be loaded now; the next client may have more luck."""
        self._log_internal_error(error)
        early, self._early = self._early, []
        for sock, _ in early:
            sock.close()
        if self._state is _State.STOPPED:
            self._loop.stop()

    def _log_internal_error(self, error: Exception) -> None:
        with suppress(Exception):  # it may be memory that is wanting, for the log's line too
            self._log.error(internal_error(error))

    def _runs(self) -> bool:
        return self._state is _State.RUNNING

    def _connection_ended(self) -> None:
        for listener in self._listeners:
            listener.resume()
        self._stop_when_done()

    def _signalled(self) -> None:
        if self._state is _State.RUNNING:
            self._begin_stop()
        elif self._state is _State.STOPPING:
            self._cut_sessions()
        else:
            self._loop.stop()

    def _begin_stop(self) -> None:
        if self._state is not _State.RUNNING:
            return
        self._state = _State.STOPPING
        self._listeners[0].close()
        self._log.warning("SMTP mock server is in the shutdown mode and won't accept new connections")
        self._sessions.finish()
        seconds = self._sessions.configuration.shutdown_timeout
        self._loop.call_later(seconds, self._cut_sessions, self._stop_at_once)
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._state is _State.STOPPING and self._sessions.is_empty:
            self._stopped(_STOPPED)

    def _cut_sessions(self) -> None:
        """The deadline, or a second signal."""
        if self._state is not _State.STOPPING:
            return
        forced = bool(self._sessions.under_way)
        self._state = _State.STOPPED
        self._sessions.cut()
        self._stopped(_FORCED if forced else _STOPPED)

    def _stopped(self, line: str) -> None:
        self._state = _State.STOPPED
        self._log.info(line)
        if self._site is None and not self._early:
            self._loop.stop()
            return
        self._loop.call_later(_LAST_PATIENCE, self._loop.stop, self._stop_at_once)
        self._finish_site()

    def _finish_site(self) -> None:
        if self._site is not None:
            self._site.finish(self._loop.stop)

    def _stop_at_once(self, error: Exception) -> None:
        """What has to stop the server failed: a stop without grace is better than none."""
        self._log_internal_error(error)
        self._loop.stop()


def _site_class() -> type[Site]:
    # At the first request only, because HTTP and its libraries would double the time of a start.
    from .control.site import Site

    return Site


def _start_error(what: str, port: int, why: str) -> ServerStartError:
    """In go-smtp-mock's words, which say why only where that has to do with neither the address nor the port."""
    return ServerStartError(f"Failed to start {what} on port: {port}" + (f": {why}" if why else ""))
