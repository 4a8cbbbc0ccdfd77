"""Whatever a callback of the loop raises ends its connection at most: the server serves on, and says so in the log."""

from __future__ import annotations

import http.client
import smtplib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule, Server
from smtpmock_cli.control import http as http_protocol
from smtpmock_cli.control import listing
from smtpmock_cli.log import Log
from smtpmock_cli.net import loop
from smtpmock_cli.net.listener import Listener, listen
from tests.certificates import Certificate
from tests.control.web import ask, raw, read_answer
from tests.helpers import BODY, PATIENCE, TRANSACTION, Client

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
RULES = [Rule(on="noop", delay=0.01, drip=1000), Rule(on="helo", match="reset.example", then="reset")]


class Fault:
    """Raises in, or behind, one call of one kind of callback, while it is armed.

    :param kind: the callback's qualified name; empty for none.
    :param nth: which of its calls, from 1 on.
    :param behind: whether the callback has done its work by then.
    """

    def __init__(self, kind: str = "", nth: int = 1, *, behind: bool = False) -> None:
        self.calls: Counter[str] = Counter()
        self.raised = False
        self.is_armed = False
        self._kind = kind
        self._nth = nth
        self._behind = behind

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Be in every callback that the loop is given from now on."""
        for name, place in (("call_at", 1), ("send_at_end", 0), ("call_idle", 0), ("call_from_thread", 0)):
            patch.setattr(loop.Loop, name, self._registering(getattr(loop.Loop, name), place))
        patch.setattr(loop, "Watch", self._watch_class())
        flush = Log.flush
        patch.setattr(Log, "flush", lambda log: self._call(flush.__get__(log)))

    def _registering(self, register: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(owner: loop.Loop, *arguments: Any) -> Any:
            given = list(arguments)
            given[place] = self._wrapped(given[place])
            return register(owner, *given)

        return call

    def _watch_class(self) -> type[loop.Watch]:
        wrapped = self._wrapped

        class Watch(loop.Watch):
            """One whose callbacks are wrapped, whenever they are set."""

            @property
            def callback(self) -> Any:
                return self._callback

            @callback.setter
            def callback(self, given: Any) -> None:
                self._callback = wrapped(given)

        return Watch

    def _wrapped(self, callback: Callable[[], object]) -> Callable[[], object]:
        return lambda: self._call(callback)

    def _call(self, callback: Callable[[], object]) -> object:
        if not self.is_armed:
            return callback()
        kind = name_of(callback)
        self.calls[kind] += 1
        if (kind, self.calls[kind]) != (self._kind, self._nth):
            return callback()
        if self._behind:
            callback()
        self.raised = True
        raise MemoryError("injected")


def name_of(callback: Any) -> str:
    return name_of(callback.func) if isinstance(callback, partial) else str(callback.__qualname__)


@pytest.fixture(scope="session")
def kinds(certificate: Certificate) -> list[str]:
    """Every kind of callback that the scenario has."""
    fault = Fault()
    with pytest.MonkeyPatch.context() as patch:
        fault.install(patch)
        with Server(settings(certificate)) as server:
            ask(server, "/livez")
            arm(fault, patch)
            play(server)
    return sorted(fault.calls)


def arm(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(http_protocol, "REQUEST_TIMEOUT", 0.05)
    patch.setattr(listing, "_FREED_AT_ONCE", 1)
    fault.is_armed = True


@contextmanager
def installed(fault: Fault) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        fault.install(patch)
        yield patch


def settings(certificate: Certificate) -> Configuration:
    return Configuration(
        http_port=0, tls_cert=certificate.cert, tls_key=certificate.key, rules=RULES, log_to_stdout=True
    )


def play(server: Server) -> None:
    """Something of everything; what a fault breaks is not minded."""
    for part in (mail, slow, broken_off, timed_out, encrypted, reads, waits, purges, searches, changes):
        with suppress(OSError, ValueError, http.client.HTTPException):
            part(server)


def mail(server: Server) -> None:
    for _ in range(2):
        with Client(server.port_number) as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()


def slow(server: Server) -> None:
    with Client(server.port_number) as client:
        client.ask(b"NOOP\r\n")


def broken_off(server: Server) -> None:
    with Client(server.port_number) as client:
        client.send(b"HELO reset.example\r\n")
        client.rest()


def timed_out(server: Server) -> None:
    with raw(server) as client:
        client.send(b"GET")
        client.rest()


def encrypted(server: Server) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.starttls(context=context)
        client.noop()


def reads(server: Server) -> None:
    for path in ("messages", "sessions", "messages/1.eml", "openapi.json"):
        ask(server, f"/smtpmock/{path}")


def waits(server: Server) -> None:
    for _ in range(2):
        ask(server, "/smtpmock/messages?count=1000&timeout=0.01")
    with raw(server) as client:
        client.send(b"GET /smtpmock/messages?count=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    mail(server)


def purges(server: Server) -> None:
    for _ in range(2):
        ask(server, "/smtpmock/messages?purge=true")
        mail(server)


def searches(server: Server) -> None:
    for method in ("GET", "DELETE"):
        ask(server, "/api/v1/search?query=hello", method)


def changes(server: Server) -> None:
    server.reconfigure(msg_size_limit=1000)
    ask(server, "/smtpmock/configuration", "PATCH", {"session_timeout": 2})


def check(server: Server, smtp: Client, reader: Client) -> None:
    """Those who had nothing to do with it are served on, and others too."""
    assert smtp.ask(b"HELO example.com\r\n").startswith("250")
    reader.send(LIVE)
    assert read_answer(reader)[0] == 200
    mail(server)
    assert ask(server, "/smtpmock/messages").json["count"] > 0


def faults(kinds: list[str]) -> Iterator[tuple[str, int, bool]]:
    for kind in kinds:
        for nth in (1, 2):
            for behind in (False, True):
                yield kind, nth, behind


def test_a_callback_that_raises(kinds: list[str], certificate: Certificate, capfd: pytest.CaptureFixture[str]) -> None:
    raised: set[str] = set()
    for kind, nth, behind in faults(kinds):
        fault = Fault(kind, nth, behind=behind)
        with (
            installed(fault) as patch,
            Server(settings(certificate)) as server,
            Client(server.port_number) as smtp,
            raw(server) as reader,
        ):
            reader.send(LIVE)
            read_answer(reader)
            ask(server, "/livez")  # by now, nothing of the first one's is left to do
            arm(fault, patch)
            play(server)
            check(server, smtp, reader)
        error = capfd.readouterr().err
        if fault.raised:
            raised.add(kind)
            assert "internal error: MemoryError('injected')" in error, (kind, nth, behind)
    assert raised == {*kinds}
    assert {"Connection._receive", "HttpProtocol._work", "PendingListing._answer", "_Freeing.step"} <= raised


@pytest.mark.parametrize("kind", ["Server._begin_stop", "Server._cut_sessions", "Loop.stop"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_stop_that_fails_is_a_stop_all_the_same(
    kind: str, *, behind: bool, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(kind, behind=behind)
    fault.install(monkeypatch)
    server = Server(settings(certificate))
    server.start()
    with Client(server.port_number), raw(server) as slow_reader:
        mail(server)
        with Client(server.port_number) as client:
            client.send(TRANSACTION.replace(BODY, b"x" * 8_000_000 + b"\r\n") + b"QUIT\r\n")
            client.rest()
        slow_reader.send(b"GET /smtpmock/messages?count=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        ask(server, "/livez")
        fault.is_armed = True
        server.stop()
    assert fault.raised
    server.start()
    mail(server)
    server.stop()
    assert len(server.messages()) >= 3


def test_where_http_cannot_be_loaded_the_next_client_may_have_more_luck(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault("Server._open_site")
    fault.install(monkeypatch)
    fault.is_armed = True
    with Server(settings(certificate)) as server:
        with pytest.raises(ConnectionError):
            ask(server, "/livez")
        mail(server)
        assert ask(server, "/smtpmock/messages").json["count"] == 2
    assert fault.raised


def test_a_listener_whose_retry_fails_accepts_again() -> None:
    """As where descriptors had run out, and then memory."""
    fault = Fault("Listener._try_again")
    fault.is_armed = True
    running = loop.Loop(on_error=lambda _: None)
    sock = listen("127.0.0.1", 0)
    accepted: list[socket.socket] = []

    def accept(taken: socket.socket, _: object) -> None:
        accepted.append(taken)
        running.stop()
        if len(accepted) == 1:
            raise MemoryError

    with installed(fault):
        Listener(running, sock, accept, lambda _: None)
        for _ in range(2):
            with socket.create_connection(sock.getsockname()):
                running.run()
    assert len(accepted) == 2
    assert accepted[0].fileno() == -1
    assert fault.raised
    accepted[1].close()
    sock.close()
    running.close()
