"""Many messages, and large ones, kept in memory: what it takes to give them out, and who waits meanwhile.

SMTP is asked without end by a process of its own (:mod:`.prober`) while another client lists, searches and deletes.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from urllib.parse import quote

from benchmarks import report
from benchmarks.processes import HOST, LOAD_LIMIT, Peer, free_port, ours, running
from tests.helpers import HELO, MAIL, RCPT, Client

from . import procfs
from .figures import Figure, at_most, not_measured, reply_times
from .prober import probing

MESSAGES, QUICK_MESSAGES = 100_000, 1_000
SIZE = 10_000
"""Bytes of each."""
READERS, QUICK_READERS = 100, 10
"""Clients that take a listing so slowly that none gets to its end."""
ROUNDS, QUICK_ROUNDS = 60, 5
LARGE = 10_000_000
FEW, MANY, QUICK_MANY = 10, 80, 20
ABOVE_AT_MOST = 32.0
"""MiB above what is stored."""
LEAK_AT_MOST = 15.0
"""MiB above where the process stood."""
NOOP_AT_MOST, LONGEST_NOOP = 20.0, 60.0
"""Milliseconds: in the 99th percentile, and of any."""
_MIB = 1024 * 1024
_FLAGS = ("-multipleMessageReceiving", "-sessionTimeout=600")
_REQUESTS = [
    ("Mailpit's list of", "GET", "/api/v1/messages?limit=1000", 1),
    ("Mailpit's figures of", "GET", "/api/v1/info", 30),
    ("Mailpit's search in", "GET", f"/api/v1/search?query={quote('subject:hi -from:nobody')}", 1),
    ("Mailpit's deletion of", "DELETE", f"/api/v1/search?query={quote('subject:hi')}", 1),
]
"""What is asked, and how often."""
_TEXT = b"The quick brown fox jumps over the lazy dog, again and again and again.\r\n"


def measure(*, quick: bool) -> list[Figure]:
    if not procfs.is_here():
        return [not_measured("stored messages", "memory and replies", procfs.WHY_NOT)]
    return [
        *_leak(QUICK_ROUNDS if quick else ROUNDS),
        *_large(QUICK_MANY if quick else MANY),
        *_many(QUICK_MESSAGES if quick else MESSAGES, QUICK_READERS if quick else READERS, quick=quick),
        *_hostile(quick=quick),
        *_amid_bodies(quick=quick),
    ]


class Keeper:
    """The program with its HTTP API, and what is asked of it."""

    def __init__(self, stack: ExitStack) -> None:
        self.http_port = free_port()
        self.peer: Peer = stack.enter_context(running("ours", ours(*_FLAGS, f"-httpPort={self.http_port}")))
        self.idle = procfs.resident(self.peer)

    def store(self, bodies: Iterable[bytes]) -> None:
        with Client(self.peer.port) as client:
            client.ask(HELO)
            for body in bodies:
                client.send(MAIL + RCPT + b"DATA\r\n" + body + b"\r\n.\r\nRSET\r\n")
                replies = [client.read() for _ in range(5)]
                assert replies[3].startswith("250"), replies
            client.send(b"QUIT\r\n")
            client.rest()

    def ask(self, path: str, method: str = "GET") -> int:
        """How many bytes the answer has; it is read as it comes."""
        with closing(http.client.HTTPConnection(HOST, self.http_port, timeout=LOAD_LIMIT)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return sum(map(len, iter(lambda: answer.read(1 << 20), b"")))

    def seconds(self, path: str) -> float:
        """How long an answer takes, the shortest of three times."""
        taken = []
        for _ in range(3):
            begun = time.perf_counter()
            self.ask(path)
            taken.append(time.perf_counter() - begun)
        return min(taken)

    def noops_beside(self, work: Callable[[], object], load: str, *, quick: bool) -> list[Figure]:
        """How long NOOPs take while something else is done."""
        with probing(self.peer.port) as times:
            work()
        report.progress(f"stored: {load}")
        return [
            reply_times(load, "NOOPs meanwhile", times, "p99", NOOP_AT_MOST, quick=quick),
            reply_times(load, "NOOPs meanwhile", times, "max", LONGEST_NOOP, quick=quick),
        ]


def _leak(rounds: int) -> list[Figure]:
    """A message in, by whoever waits for it; and out."""
    body = _TEXT * (5_000_000 // len(_TEXT))
    with ExitStack() as stack:
        keeper = Keeper(stack)
        keeper.store([b"small"])
        keeper.ask("/smtpmock/messages?purge=true")
        before = procfs.resident(keeper.peer)
        for _ in range(rounds):
            keeper.store([body])
            keeper.ask("/smtpmock/messages?count=1&purge=true")
        grown = (procfs.resident(keeper.peer) - before) / _MIB
    load = f"{rounds} × a message of 5 MB, waited for and purged"
    return [at_most(load, "growth of resident memory", grown, LEAK_AT_MOST, "MiB")]


def _large(many: int) -> list[Figure]:
    body = _TEXT * (LARGE // len(_TEXT))
    with ExitStack() as stack:
        keeper = Keeper(stack)
        keeper.store([body] * FEW)
        few = keeper.seconds("/smtpmock/messages")
        keeper.store([body] * (many - FEW))
        stored = procfs.resident(keeper.peer)
        procfs.reset_peak(keeper.peer)
        ratio = keeper.seconds("/smtpmock/messages") / few / (many / FEW)
        above = (procfs.peak(keeper.peer) - stored) / _MIB
    load = f"a listing of {many} × 10 MB"
    return [
        at_most(load, f"its time, of {many // FEW} × that of {FEW}", ratio, 1.25, "×"),
        at_most(load, "memory at the peak, above what is stored", above, ABOVE_AT_MOST, "MiB"),
    ]


def _many(messages: int, readers: int, *, quick: bool) -> list[Figure]:
    body = b"Subject: hi\r\n\r\n" + _TEXT * (SIZE // len(_TEXT))
    with ExitStack() as stack:
        keeper = Keeper(stack)
        keeper.store(body for _ in range(messages))
        report.progress(f"stored: {messages:,} messages are in")
        stored = procfs.resident(keeper.peer)
        procfs.reset_peak(keeper.peer)
        name = f"{messages:,} × 10 KB"
        figures = keeper.noops_beside(lambda: keeper.ask("/smtpmock/messages"), f"a listing of {name}", quick=quick)
        figures += _slow_readers(keeper, readers, f"{readers} slow readers of {name}", quick=quick)
        above = (procfs.peak(keeper.peer) - stored) / _MIB
        peak = "memory at the peak, above what is stored"
        figures.append(at_most(f"the listings of {name}", peak, above, ABOVE_AT_MOST, "MiB"))
        for what, method, path, times in _REQUESTS:

            def ask(method: str = method, path: str = path, times: int = times) -> None:
                for _ in range(times):
                    keeper.ask(path, method)

            figures += keeper.noops_beside(ask, f"{what} {name}", quick=quick)
        return figures


def _slow_readers(keeper: Keeper, readers: int, load: str, *, quick: bool) -> list[Figure]:
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection((HOST, keeper.http_port))) for _ in range(readers)]

        def read_a_little() -> None:
            for sock in socks:
                sock.sendall(b"GET /smtpmock/messages HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(20):
                for sock in socks:
                    assert sock.recv(65536)

        return keeper.noops_beside(read_a_little, load, quick=quick)


def _hostile(*, quick: bool) -> list[Figure]:
    size = 9_000_000 if not quick else 500_000
    figures: list[Figure] = []
    for name, bodies in _hostile_mails(size):
        with ExitStack() as stack:
            keeper = Keeper(stack)
            keeper.store(bodies)

            def read(keeper: Keeper = keeper) -> None:
                for path in ("search?query=absent", "messages?limit=0", "message/latest", "message/latest/headers"):
                    keeper.ask(f"/api/v1/{path}")

            figures += keeper.noops_beside(read, f"Mailpit's search, list and reading of {name}", quick=quick)
    return figures


def _hostile_mails(size: int) -> list[tuple[str, Sequence[bytes]]]:
    html = b"Content-Type: text/html\r\n\r\n"
    multipart = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    part = b"--x\r\nContent-Type: text/plain\r\n\r\n" + b"y" * 110 + b"\r\n"
    text = b"Subject: text\r\n\r\n" + _TEXT * (105_000 // len(_TEXT))
    return [
        ("500 mails of 105 KB text", [text] * (500 if size > 1_000_000 else 50)),
        ("9 MB of character references", [html + _lines(b"&#1" * 300, size)]),
        ("700,000 header fields", [b"X-A: b-c-d\r\n" * (size // 12) + b"\r\nhi"]),
        ("60,000 parts", [multipart + part * (size // len(part)) + b"--x--"]),
        ("9 MB of tags", [html + _lines(b"<b>x" * 200, size)]),
        ("9 MB of line feeds", [b"\r\n" + b"\r\n" * (size // 2)]),
        ("9 MB of base 64", [b"Content-Transfer-Encoding: base64\r\n\r\n" + _lines(b"QUJD" * 19, size)]),
        ("9 MB of addresses", [b"To: " + b"a@b.example,\r\n " * (size // 15) + b"c@d.example\r\n\r\nhi"]),
    ]


def _lines(line: bytes, size: int) -> bytes:
    return (line + b"\r\n") * (size // (len(line) + 2))


def _amid_bodies(*, quick: bool) -> list[Figure]:
    """Sessions in the midst of large bodies while the list of sessions is asked for."""
    sessions, size = (30, 9_000_000) if not quick else (5, 500_000)
    body = _TEXT * (size // len(_TEXT))
    with ExitStack() as stack:
        keeper = Keeper(stack)
        for _ in range(sessions):
            client = stack.enter_context(Client(keeper.peer.port))
            client.envelope()
            client.send(body)

        def ask() -> None:
            for _ in range(50):
                assert keeper.ask("/smtpmock/sessions") < 100_000

        load = f"/smtpmock/sessions amid {sessions} bodies of {size / 1_000_000:.1f} MB"
        return keeper.noops_beside(ask, load, quick=quick)
