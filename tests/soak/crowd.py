"""Crowd: SMTP clients on one selector, each with a part to play, and how long each answer took.

Invariants: an answer's time runs from before its request was sent to when the selector told of the answer,
so that clients of one turn do not wait for each other; a reply that is not the expected one, and a
crowd that has not played its parts in time, is a failure; whatever happens, no socket is left open.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections.abc import Generator, Iterable
from typing import NamedTuple

from benchmarks.processes import HOST, MeasurementError

CONNECT_LIMIT = 10.0
"""Seconds until the kernel has to have connected a client."""
_CHUNK = 64 * 1024


class Ask(NamedTuple):
    """What a client sends, and the codes of the replies that it then waits for; nothing where it is greeted.

    Few bytes: the kernel has to take them at once. ``at`` is when to send, by ``time.perf_counter``; 0 is now.
    """

    data: bytes
    codes: tuple[bytes, ...]
    at: float = 0.0


Part = Generator[Ask, float, None]
"""One client's part: it yields what to ask, and is sent the seconds that the answer took."""


class _Client:
    """One connection, playing its part."""

    def __init__(self, sock: socket.socket, part: Part) -> None:
        self.sock = sock
        self.part = part
        self.asking = next(part)
        self.asked_at = 0.0
        self._answer = b""

    def ask(self) -> None:
        self.asked_at = time.perf_counter()
        data = self.asking.data
        if data and self.sock.send(data) < len(data):
            raise MeasurementError(f"a request of {len(data)} bytes does not fit into the kernel")

    def receive(self) -> bool:
        """Take what came; whether the answer is whole."""
        came = self.sock.recv(_CHUNK)
        self._answer += came
        if came and self._answer.count(b"\n") < len(self.asking.codes):
            return False
        answer, self._answer = self._answer, b""
        codes = tuple(line[:3] for line in answer.splitlines())
        if codes != self.asking.codes:
            raise MeasurementError(f"{self.asking.data[-80:]!r} was answered with {answer!r}")
        return True


class Crowd:
    """Connects a client for each part; :meth:`play` has them all play."""

    def __init__(self, port: int, parts: Iterable[Part]) -> None:
        self._selector = selectors.DefaultSelector()
        self._playing: set[_Client] = set()
        self._later: list[tuple[float, int, _Client]] = []
        try:
            for part in parts:
                self._join(socket.create_connection((HOST, port), CONNECT_LIMIT), part)
        except BaseException:
            self._close()
            raise

    def play(self, limit: float) -> None:
        """Return when every part has been played.

        :param limit: seconds that it may take.
        :raises MeasurementError: it takes longer, or a reply is not the expected one.
        """
        end = time.perf_counter() + limit
        try:
            for client in list(self._playing):
                self._schedule(client)
            while self._playing:
                self._turn(end)
        except OSError as error:
            raise MeasurementError(f"a client lost its connection: {error}") from error
        finally:
            self._close()

    def _join(self, sock: socket.socket, part: Part) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        client = _Client(sock, part)
        self._playing.add(client)
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _turn(self, end: float) -> None:
        now = time.perf_counter()
        if now > end:
            raise MeasurementError(f"{len(self._playing)} clients were not done in time")
        wake = min(end, self._later[0][0]) if self._later else end
        ready = self._selector.select(max(0.0, wake - now))
        now = time.perf_counter()
        for key, _ in ready:
            client: _Client = key.data
            if client.receive():
                self._go_on(client, now - client.asked_at)
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2].ask()

    def _go_on(self, client: _Client, seconds: float) -> None:
        try:
            client.asking = client.part.send(seconds)
        except StopIteration:
            self._leave(client)
        else:
            self._schedule(client)

    def _schedule(self, client: _Client) -> None:
        if client.asking.at:
            heapq.heappush(self._later, (client.asking.at, id(client), client))
        else:
            client.ask()

    def _leave(self, client: _Client) -> None:
        self._playing.discard(client)
        self._selector.unregister(client.sock)
        client.sock.close()

    def _close(self) -> None:
        for client in self._playing:
            client.sock.close()
        self._selector.close()
