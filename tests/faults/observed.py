"""Observed: the program as a process that tells over HTTP what its sessions do.

Invariant: an answer comes at the end of the loop's turn, so that whatever a test had sent before it asked has been
seen by then; asking is how a test waits for the program without a sleep.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.processes import HOST, Peer
from smtpmock_cli import Configuration, Server
from tests import unix
from tests.helpers import PATIENCE, TRANSACTION, Client, Daemon, free_port, log_texts
from tests.test_cli import STOPPED

MARGIN = 2.0
"""Seconds that the program may take, on a busy machine, for what it does at once."""
BYE = b"221 Closing connection\r\n"
CLIENT_DOES_NOT_READ = "client to take replies"
"""The state of a session whose client takes no more replies."""


class Observed(Daemon):
    """A daemon with the HTTP API."""

    def __init__(self, *flags: str, **options: Any) -> None:
        self.http_port = free_port()
        super().__init__(f"-httpPort={self.http_port}", *flags, **options)

    def get(self, path: str) -> Any:
        """An answer of the API."""
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=2 * PATIENCE)
        try:
            connection.request("GET", path)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def settle(self) -> None:
        """Return once the program has seen what was sent to it before."""
        self.get("/smtpmock/sessions")

    def states(self) -> list[str]:
        """What each session that is under way waits for."""
        return [session["state"] for session in self.get("/smtpmock/sessions")["sessions"]]

    def messages(self, count: int) -> list[Any]:
        """All messages, once there are so many."""
        answer = self.get(f"/smtpmock/messages?count={count}&timeout={PATIENCE}")
        assert answer["complete"], answer
        return list(answer["messages"])


def peer(running: Daemon) -> Peer:
    """The daemon as the measurements know a process."""
    return Peer("smtpmock", running.process.pid, running.port)


@contextmanager
def observed(*flags: str, **options: Any) -> Iterator[Observed]:
    """An observed daemon that listens, and is gone afterwards whatever happened."""
    with Observed(*flags, **options) as running:
        running.wait_until_listening()
        yield running


def assert_serves(running: Daemon) -> None:
    """A whole mail goes through, and promptly."""
    begun = time.monotonic()
    with running.client() as client:
        client.send(TRANSACTION + b"QUIT\r\n")
        assert client.rest().endswith(b"250 Received\r\n" + BYE)
    assert time.monotonic() - begun < MARGIN


def assert_stops(running: Daemon) -> list[str]:
    """SIGTERM ends it well; gives what is left of its log."""
    running.signal(signal.SIGTERM)
    code, out, _ = running.finish()
    assert code == 0
    return out


def assert_heeds_one_signal(running: Daemon) -> None:
    """SIGTERM stops it, and however many come after that change nothing."""
    assert running.process.stdout is not None
    running.signal(signal.SIGTERM)
    assert any(STOPPED in log_texts(line) for line in running.process.stdout)
    while running.process.poll() is None:
        running.signal(signal.SIGTERM)
    assert running.finish() == (0, [], [])


def wait_for_exit(running: Daemon) -> int:
    """The exit code, though nobody reads what it writes."""
    return running.process.wait(PATIENCE)


def a_second_passes() -> None:
    """Return when it has, as the timeout of another server's session tells."""
    with Server(Configuration(session_timeout=1)) as other, Client(other.port_number) as client:
        assert client.rest() == b""


def freeze(running: Daemon) -> None:
    """SIGSTOP, and return once the process has stopped."""
    running.signal(unix.signal.SIGSTOP)
    assert unix.os.WIFSTOPPED(os.waitpid(running.process.pid, unix.os.WUNTRACED)[1])


def send_until_not_read_from(running: Observed, client: Client, data: bytes) -> int:
    """Send, read nothing, and return once the program waits for its replies to be taken; gives how much it took."""
    deadline = time.monotonic() + PATIENCE
    client.sock.setblocking(False)
    sent = 0
    while CLIENT_DOES_NOT_READ not in running.states():
        assert time.monotonic() < deadline, f"{sent} bytes were taken without a reply being read"
        with suppress(BlockingIOError):
            sent += client.sock.send(data[sent % len(data) :])
    return sent


class Reader(threading.Thread):
    """Reads a pipe as long as somebody writes to it, so many bytes at once."""

    def __init__(self, fd: int, at_once: int = 65536) -> None:
        super().__init__(daemon=True)
        self.fd = fd
        self._at_once = at_once
        self._read = bytearray()
        self._more = threading.Condition()
        self.start()

    def run(self) -> None:
        while data := os.read(self.fd, self._at_once):
            with self._more:
                self._read += data
                self._more.notify()
            self.rest(len(data))

    def rest(self, count: int) -> None:
        """What to do after so many bytes more: nothing."""

    def wait_for(self, text: bytes) -> None:
        """Return once this has been read."""
        with self._more:
            assert self._more.wait_for(lambda: text in self._read, PATIENCE)

    def lines(self) -> list[str]:
        """All lines, once the writers are gone."""
        self.join(PATIENCE)
        assert not self.is_alive()
        return self._read.decode("utf-8", "surrogateescape").splitlines()
