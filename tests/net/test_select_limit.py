"""select(), where there is nothing better: it serves hundreds, lets more wait, and refuses what it can't watch."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule, Server, ServerStartError
from smtpmock_cli.net import connection, listener, select_limit
from smtpmock_cli.net.listener import Listener, listen
from smtpmock_cli.net.loop import READ, WRITE, Loop
from smtpmock_cli.net.select_limit import LimitedSelector, connections, limits
from tests.certificates import Certificate
from tests.control.web import ask, raw, read_answer, send_mail
from tests.faults.observed import BYE, Observed
from tests.helpers import HELO, PATIENCE, TRANSACTION, Client, free_port, log_texts
from tests.soak.descriptors import enough_for
from tests.test_cli import posix

PATCHED = """
import selectors, sys
selectors.DefaultSelector = selectors.SelectSelector
from smtpmock_cli.net import select_limit
select_limit.limits.__defaults__ = (sys.argv.pop(1),)
from smtpmock_cli.__main__ import main
main()
"""
"""The program with select(), and its limits on a platform that is named first."""
WINDOWS_CONNECTIONS = connections(select_limit.WINDOWS_SOCKETS)
FULL = "accept tcp: too many open files"
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROUND = 20.0 if sys.platform == "win32" else 5.0
"""Seconds in which all have to have their answer; on an idle machine it takes a tenth of one, under Wine a few."""


class Standing(Observed):
    """The program with select(); its log is read as it comes, because on Windows a full pipe, of 4 KB, holds it up."""

    def __init__(self, *flags: str, platform: str = sys.platform) -> None:
        super().__init__(*flags, program=(sys.executable, "-c", PATCHED, platform), stdout=subprocess.DEVNULL)
        self._errors: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read_errors)
        self._reader.start()

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.settle()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
            else:
                return

    def wait_for_error(self, text: str) -> None:
        while text not in self._errors.get(timeout=PATIENCE):
            pass

    def stop(self) -> None:
        """End it; it must have logged no error but for clients that left and those that had to wait."""
        self.process.terminate()
        self._reader.join(PATIENCE)
        while not self._errors.empty():
            assert self._errors.get() in ("ERROR: EOF", f"ERROR: {FULL}")

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.put(log_texts(line)[0])

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._reader.join()
        super().__exit__()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def standing(stack: ExitStack, *flags: str, platform: str = sys.platform) -> tuple[Standing, Crowd]:
    """The program, and a crowd at its door."""
    running = stack.enter_context(Standing(*flags, platform=platform))
    running.wait_until_listening()
    return running, Crowd(running, stack)


class Crowd:
    """SMTP and HTTP clients that stand there."""

    def __init__(self, running: Standing, stack: ExitStack) -> None:
        self.smtp: list[Client] = []
        self.http: list[Client] = []
        self._running = running
        self._stack = stack

    def connect(self, *, smtp: int = 0, http: int = 0) -> None:
        self.smtp += [self._client(self._running.port) for _ in range(smtp)]
        self.http += [self._client(self._running.http_port) for _ in range(http)]

    def greet(self) -> None:
        for client in self.smtp:
            assert client.read() == "220 Welcome"

    def is_served(self) -> None:
        """Everyone asks, and then everyone has an answer."""
        begun = time.monotonic()
        for client in self.smtp:
            client.send(b"NOOP\r\n")
        for client in self.http:
            client.send(LIVE)
        for client in self.smtp:
            assert client.read() == "250 Ok"
        for client in self.http:
            assert read_answer(client)[0] == 200
        assert time.monotonic() - begun < ROUND

    def _client(self, port: int) -> Client:
        return self._stack.enter_context(Client(port, greeted=False))


def hears_nothing(client: Client) -> bool:
    client.sock.settimeout(0)
    try:
        client.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.sock.settimeout(PATIENCE)
    return False


def test_hundreds_of_both_kinds_are_served(stack: ExitStack) -> None:
    running, crowd = standing(stack)
    crowd.connect(smtp=WINDOWS_CONNECTIONS - 200, http=200)
    crowd.greet()
    for _ in range(3):
        crowd.is_served()
    for client in crowd.smtp:
        client.send(TRANSACTION + b"QUIT\r\n")
    for client in crowd.smtp:
        assert client.rest().endswith(BYE)
    for client in crowd.smtp + crowd.http:
        client.close()
    assert len(running.messages(len(crowd.smtp))) == len(crowd.smtp)
    running.stop()


@pytest.mark.parametrize(("smtp", "http"), [(1, WINDOWS_CONNECTIONS - 1), (300, WINDOWS_CONNECTIONS - 300)])
def test_on_windows_who_comes_when_all_sockets_are_watched_waits(smtp: int, http: int, stack: ExitStack) -> None:
    running, crowd = standing(stack, platform="win32")
    crowd.connect(smtp=smtp, http=http)
    crowd.greet()
    crowd.is_served()
    for kind, port in (("smtp", running.port), ("http", running.http_port)):
        with Client(port, greeted=False) as waiting:
            waiting.send(LIVE if kind == "http" else b"")
            running.wait_for_error(FULL)
            crowd.is_served()
            assert hears_nothing(waiting)
            crowd.http.pop().close()
            assert waiting.read() == ("HTTP/1.1 200 " if kind == "http" else "220 Welcome")
            crowd.is_served()
        crowd.connect(http=1)
    running.stop()


def test_on_windows_a_crowd_is_served_as_the_first_leave(stack: ExitStack) -> None:
    running, crowd = standing(stack, platform="win32")
    crowd.connect(smtp=WINDOWS_CONNECTIONS + 50)
    running.wait_for_error(FULL)
    for client in crowd.smtp:
        assert client.read() == "220 Welcome"
        client.send(HELO + b"QUIT\r\n")
        assert client.rest() == b"250 Received\r\n" + BYE
        client.close()
    assert len(running.messages(len(crowd.smtp))) == len(crowd.smtp)
    running.stop()


def test_on_windows_those_who_wait_over_http_may_be_as_many(stack: ExitStack) -> None:
    """All that are waited for are in one list, those that wait themselves included."""
    running, crowd = standing(stack, platform="win32")
    crowd.connect(http=WINDOWS_CONNECTIONS - 1)
    for client in crowd.http:
        client.send(b"GET /smtpmock/messages?count=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with running.client() as client:
        client.send(TRANSACTION + b"QUIT\r\n")
        assert client.rest().endswith(BYE)
    for client in crowd.http:
        assert read_answer(client)[0] == 200
    running.stop()


def test_on_windows_clients_that_take_nothing_count_too(stack: ExitStack) -> None:
    """They are in the other list until they take what is sent; those whose reply is delayed are in none."""
    long_reply = f"-msgNoopReceived=250 {'x' * 1000}"
    running, crowd = standing(stack, "-responseDelayHelo=1", long_reply, platform="win32")
    crowd.connect(smtp=WINDOWS_CONNECTIONS)
    crowd.greet()
    slow, blocked = crowd.smtp[:100], crowd.smtp[100:102]
    for client in blocked:
        client.send(b"NOOP\r\n" * 10_000 + b"QUIT\r\n")
    for client in slow:
        client.send(HELO)
    with Client(running.port, greeted=False) as waiting:
        running.wait_for_error(FULL)
        for client in slow:
            assert client.read() == "250 Received"
        assert hears_nothing(waiting)
        blocked.pop().reset()
        assert waiting.read() == "220 Welcome"
    for client in blocked:
        assert client.rest().endswith(BYE)
    running.stop()


def test_on_windows_fewer_sessions_get_421(stack: ExitStack) -> None:
    running, crowd = standing(stack, "-maxConnections=500", platform="win32")
    crowd.connect(smtp=500)
    crowd.greet()
    with Client(running.port, greeted=False) as refused:
        assert refused.read() == "421 Too many connections"
        assert refused.rest() == b""
    crowd.is_served()
    running.stop()


@posix
def test_elsewhere_it_is_descriptors_that_have_to_be_low(stack: ExitStack) -> None:
    """So many clients that some would have higher ones: a library that the program opens meanwhile takes one too."""
    wanted = select_limit.POSIX_DESCRIPTORS + 50
    if enough_for(wanted) < wanted:
        pytest.skip(f"the system allows this process no {wanted} connections")
    running, crowd = standing(stack, platform="linux")
    crowd.connect(smtp=wanted)
    running.wait_for_error(FULL)
    served = [client for client in crowd.smtp if not hears_nothing(client)]
    assert wanted - 100 < len(served) < wanted
    for client in crowd.smtp:
        assert client.read() == "220 Welcome"
        client.send(HELO + b"QUIT\r\n")
        assert client.rest() == b"250 Received\r\n" + BYE
        client.close()
    running.stop()


def descriptors() -> int:
    """How many this process has."""
    return len([*Path("/dev/fd").iterdir()])


def test_a_process_whose_descriptors_are_all_too_high_does_not_start() -> None:
    """As a server in somebody's program may find it."""
    if os.name == "nt":
        pytest.skip("a socket's number says nothing on Windows")
    taken = ExitStack()
    with taken, pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
        if enough_for(1100) < 1100:
            pytest.skip("the system allows this process no such descriptors")
        while (fd := os.dup(0)) < select_limit.POSIX_DESCRIPTORS:
            taken.callback(os.close, fd)
        taken.callback(os.close, fd)
        before = descriptors()
        with pytest.raises(ServerStartError, match="too many open files"):
            Server().start()
        assert descriptors() == before


class Refusals:
    """Has a selector refuse one thing, as epoll does when a user's watches are used up."""

    def __init__(self) -> None:
        self._method = ""
        self._events = 0
        self._left = 0
        self._refused = threading.Event()

    def begin(self, method: str, events: int, *, nth: int = 1) -> None:
        """Refuse the nth call of a method with these events from now on."""
        self._method, self._events, self._left = method, events, nth

    def wait(self) -> None:
        """Return once it has refused."""
        assert self._refused.wait(PATIENCE)

    def meet(self, method: str, events: int) -> None:
        if (method, events) == (self._method, self._events) and self._left:
            self._left -= 1
            if not self._left:
                self._refused.set()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    made = Refusals()

    default: type[Any] = selectors.DefaultSelector
    selector = LimitedSelector if issubclass(default, selectors.SelectSelector) else default
    register, modify = selector.register, selector.modify

    def register_or_refuse(self: Any, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        made.meet("register", events)
        key: selectors.SelectorKey = register(self, fileobj, events, data)
        return key

    def modify_or_refuse(self: Any, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        try:
            made.meet("modify", events)
        except OSError:
            self.unregister(fileobj)  # as the real ones do when they fail
            raise
        key: selectors.SelectorKey = modify(self, fileobj, events, data)
        return key

    monkeypatch.setattr(selector, "register", register_or_refuse)
    monkeypatch.setattr(selector, "modify", modify_or_refuse)
    return made


def at_once(server: Server, refusals: Refusals) -> None:
    refusals.begin("register", READ)
    with Client(server.port_number, greeted=False) as client:
        read_to_the_end(client)


def at_once_over_http(server: Server, refusals: Refusals) -> None:
    refusals.begin("register", READ)
    with raw(server) as client:
        read_to_the_end(client)


def after_a_delay(server: Server, refusals: Refusals) -> None:
    with Client(server.port_number) as client:
        refusals.begin("register", READ)
        client.send(HELO)
        read_to_the_end(client)


def when_it_takes_nothing(server: Server, refusals: Refusals) -> None:
    with Client(server.port_number) as client:
        refusals.begin("modify", WRITE)
        client.send(b"Hi!\r\n")
        refusals.wait()
        read_to_the_end(client)


def when_it_takes_nothing_amid_many(server: Server, refusals: Refusals) -> None:
    with Client(server.port_number) as client:
        refusals.begin("register", WRITE)
        client.send(b"NOOP\r\n" * 20_000)
        refusals.wait()
        read_to_the_end(client)


def when_it_takes_something_again(server: Server, refusals: Refusals) -> None:
    with Client(server.port_number) as client:
        refusals.begin("modify", READ)
        client.send(b"Hi!\r\n")
        deadline = time.monotonic() + PATIENCE
        while not any(session.connection.is_blocked for session in server._sessions.under_way):
            assert time.monotonic() < deadline
        read_to_the_end(client)


def read_to_the_end(client: Client) -> None:
    with suppress(ConnectionError):
        client.rest()


@pytest.mark.parametrize(
    "meet_refusal",
    [
        at_once,
        at_once_over_http,
        after_a_delay,
        when_it_takes_nothing,
        when_it_takes_nothing_amid_many,
        when_it_takes_something_again,
    ],
)
def test_a_selector_that_refuses_a_connection_ends_that_one_only(
    meet_refusal: Callable[[Server, Refusals], None], refusals: Refusals, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = Rule(on="helo", match="example.com", delay=0.01, times=1)
    settings = Configuration(
        http_port=0,
        log_to_stdout=True,
        rules=[slow],
        msg_noop_received="250 " + "x" * 1000,
        msg_invalid_cmd="502 " + "x" * 20_000_000,  # more than the kernel holds
    )
    with Server(settings) as server, Client(server.port_number) as other:
        ask(server, "/livez")
        meet_refusal(server, refusals)
        refusals.wait()
        assert other.ask(b"NOOP\r\n").startswith("250")
        send_mail(server)
        other.close()
    assert server._sessions.is_empty
    assert f"internal error: OSError({errno.ENOSPC}" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_a_selector_may_refuse_who_is_turned_away(
    mode: str, refusals: Refusals, certificate: Certificate, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {"tls_cert": certificate.cert, "tls_key": certificate.key}
    settings = Configuration(max_connections=1, log_to_stdout=True).but(tls_mode=mode, **files)
    with Server(settings) as server, ExitStack() as stack:
        refusals.begin("register", READ, nth=2)
        for _ in range(3):
            last = stack.enter_context(Client(server.port_number, greeted=False))
        refusals.wait()
        read_to_the_end(last)
        stack.close()
        wait_until_empty(server)
    assert capfd.readouterr().out.count("SMTP session refused") == 2


def wait_until_empty(server: Server) -> None:
    """Return once no connection is left, which must not take until one's time to linger is up."""
    deadline = time.monotonic() + connection._LINGER / 2
    while not server._sessions.is_empty:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("nth", [1, 2, 3], ids=["wake-up", "SMTP", "HTTP"])
def test_a_server_that_the_selector_refuses_does_not_start(nth: int, refusals: Refusals) -> None:
    port = free_port()
    refusals.begin("register", READ, nth=nth)
    server = Server(Configuration(port_number=port, http_port=0))
    with pytest.raises(ServerStartError, match=os.strerror(errno.ENOSPC).lower()):
        server.start()
    refusals.wait()
    server = Server(Configuration(port_number=port, http_port=0))  # nothing of the first one holds the port
    with server:
        send_mail(server)


class Unlucky(socket.socket):
    """A listening socket that cannot accept at first."""

    had_bad_luck = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.had_bad_luck:
            self.had_bad_luck = True
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return super().accept()


def accepting(loop: Loop, troubles: list[str]) -> tuple[Listener, list[socket.socket]]:
    """A listener that has to pause first, and what it accepts; the first one ends the loop's run."""
    taken: list[socket.socket] = []

    def accept(sock: socket.socket, _client: object) -> None:
        taken.append(sock)
        loop.stop()

    return Listener(loop, Unlucky(fileno=listen("127.0.0.1", 0).detach()), accept, troubles.append), taken


def accepts_in_the_end(loop: Loop) -> list[str]:
    """What a listener that has to pause says before it has accepted a client."""
    troubles: list[str] = []
    listening, taken = accepting(loop, troubles)
    with closing(loop), closing(listening), socket.create_connection(("127.0.0.1", listening.port)):
        loop.call_later(PATIENCE, loop.stop)
        loop.run()
    (sock,) = taken
    sock.close()
    return troubles


def test_a_pause_that_ends_in_a_refusal_goes_on(refusals: Refusals) -> None:
    loop = Loop()
    loop.call_later(0.0, lambda: refusals.begin("register", READ))
    assert accepts_in_the_end(loop) == [
        "accept tcp: no buffer space available",
        f"accept tcp: {os.strerror(errno.ENOSPC).lower()}",
    ]
    refusals.wait()


def test_a_pause_ends_where_a_socket_is_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, whose descriptors have no limit to ask for."""

    def dup(fd: int) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), fd)

    monkeypatch.setattr(os, "dup", dup)
    monkeypatch.setattr(listener, "_descriptor_limit", lambda: sys.maxsize)
    monkeypatch.setattr(limits, "__defaults__", ("win32",))
    assert accepts_in_the_end(Loop()) == ["accept tcp: no buffer space available"]


def test_a_log_that_the_selector_refuses_is_written_all_the_same(refusals: Refusals) -> None:
    ours, theirs = socket.socketpair()
    calls: list[float] = []

    def write() -> bool:
        calls.append(loop.now)
        if len(calls) == 2:
            loop.stop()
        return len(calls) == 2

    loop = Loop()
    with closing(loop), ours, theirs:
        refusals.begin("register", WRITE)
        loop.when_writable(ours.fileno(), write)
        refusals.wait()
        loop.call_later(PATIENCE, loop.stop)
        loop.run()
    assert len(calls) == 2


@pytest.fixture
def limited() -> Iterator[Callable[[int, int], LimitedSelector]]:
    with ExitStack() as stack:
        yield lambda most, below: stack.enter_context(closing(LimitedSelector(most, below)))


@pytest.fixture
def pairs() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(sock) for _ in range(3) for sock in socket.socketpair()]


def test_what_is_refused_is_not_watched(limited: Any, pairs: list[socket.socket]) -> None:
    first, second, *_ = sorted(pairs, key=socket.socket.fileno)
    for selector in (limited(1, sys.maxsize), limited(sys.maxsize, second.fileno())):
        selector.register(first, WRITE)
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                selector.register(second, READ)
        assert [key.fileobj for key, _ in selector.select(0)] == [first]
        selector.modify(first, READ)
        assert selector.select(0) == []
        selector.unregister(first)


def test_what_was_closed_unseen_is_its_owners_trouble_only(limited: Any, pairs: list[socket.socket]) -> None:
    selector = limited(*limits())
    gone, writable, *_ = pairs
    selector.register(gone, READ)
    selector.register(writable, WRITE)
    socket.close(gone.detach())
    ((key, events),) = selector.select(0)
    assert (key.fileobj, events) == (gone, READ)
    selector.unregister(gone)
    assert [key.fileobj for key, _ in selector.select(0)] == [writable]


def test_a_closed_connection_makes_room(limited: Any, pairs: list[socket.socket]) -> None:
    selector = limited(4, sys.maxsize)
    assert connections(4) == 2
    for sock in pairs[:2]:
        assert selector.has_room()
        selector.count(sock)
    assert not selector.has_room()
    pairs[0].close()
    assert selector.has_room()


def test_where_descriptors_have_to_be_low_no_connection_is_kept(limited: Any) -> None:
    sock = socket.socket()
    limited(sys.maxsize, 1024).count(sock)
    seen = weakref.ref(sock)
    sock.close()
    del sock
    assert seen() is None


def test_limits_are_those_of_the_platform() -> None:
    assert limits("win32") == (512, sys.maxsize)
    assert limits("linux") == limits("darwin") == (sys.maxsize, 1024)
    assert limits() == limits(sys.platform)


def test_only_select_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    with closing(Loop()) as loop:
        assert loop.limit is loop.selector
    if hasattr(selectors, "PollSelector"):
        monkeypatch.setattr(selectors, "DefaultSelector", selectors.PollSelector)
        with closing(Loop()) as loop:
            assert loop.limit is None
