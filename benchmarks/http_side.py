"""What the HTTP API costs, and how soon it answers who waits: the server with it beside the server without."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from tests.e2e.tools import ToolMissing, smtp_source

from . import report
from .memory import resident
from .processes import HOST, LOAD_LIMIT, Load, MeasurementError, Peer, free_port, ours, running, send
from .startup import FROZEN, INSTALLED, greeting

STARTS = 40
"""Spawns with and without; a quick run makes a tenth of all these amounts."""
MESSAGES = 20_000
"""In each round of the throughput."""
WAITS = 300
"""Waits that are measured, alone and beside the others."""
OTHERS = 300
"""Clients that wait for more than ever comes, while one is measured."""
STORED = 10_000
"""Messages of 1 KB that the server is to keep."""
START_AT_MOST = 15.0
"""Milliseconds that a start may take longer."""
THROUGHPUT_AT_LEAST = 0.95
WAIT_AT_MOST = 5.0
"""Milliseconds from the end of a message to the answer."""
STORED_AT_MOST = 40.0
"""MiB."""
KB = 1024
_MAIL = b"HELO example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
_END = b"Subject: hi\r\n\r\nHello.\r\n.\r\nQUIT\r\n"


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table; False where a measurement failed."""
    report.title("The HTTP API")
    part = 10 if quick else 1
    rows: list[list[str]] = []
    try:
        rows.append(_start_row(STARTS // part))
        rows += _wait_rows(WAITS // part)
        rows += [*_throughput_rows(MESSAGES // part, rounds), _memory_row(STORED // part)]
    except ToolMissing as missing:
        report.note(f"Neither throughput nor memory: {missing}.")
    except MeasurementError as failure:
        report.note(f"Failed: {failure}")
        return False
    finally:
        if rows:
            report.table(["with -httpPort", "measured", "limit"], rows)
    return True


def _start_row(starts: int) -> list[str]:
    program = str(FROZEN if FROZEN.exists() else INSTALLED)
    added = []
    for number in range(starts + 1):
        plain, served = greeting([program]), greeting([program, "-httpPort=0"])
        if number:  # the first start of each warms the file cache
            added.append((served - plain) * 1000)
    name = "frozen" if FROZEN.exists() else "installed by pip"
    return [f"start-up more than without ({name})", f"{median(added):+.1f} ms", f"at most {START_AT_MOST:.0f} ms"]


def _throughput_rows(messages: int, rounds: int) -> list[list[str]]:
    rows = []
    for name, load in (
        ("a connection each", Load(messages, KB)),
        ("connection kept", Load(messages, KB, connection_kept=True)),
    ):
        ratios = _ratios(load, rounds)
        limit = f"at least {THROUGHPUT_AT_LEAST}"
        rows.append([f"throughput, 1 KB, {name}, share of without", report.spread(ratios), limit])
    return rows


def _ratios(load: Load, rounds: int) -> list[float]:
    source, ratios = smtp_source(), []
    with running("without", ours()) as plain, _with_http() as (served, port):
        for number in range(rounds + 1):
            seconds = send(source, load, plain) / send(source, load, served)
            kept = _ask(port, "/smtpmock/messages", "DELETE")["count"]
            if kept != load.messages and not load.connection_kept:
                raise MeasurementError(f"{kept} of {load.messages} messages were kept")
            if number:  # the first is to warm up
                ratios.append(seconds)
                report.progress(f"http: round {number} of {rounds}: {seconds:.2f} of the throughput without")
    return ratios


def _wait_rows(waits: int) -> list[list[str]]:
    with _with_http() as (peer, port):
        alone = _waits(peer, port, waits)
        others = [_wait(port, 1_000_000) for _ in range(OTHERS)]
        _ask(port, "/livez")
        beside = _waits(peer, port, waits)
        for other in others:
            other.close()
    return [
        _wait_row("from a message's end to a waiter's answer", alone),
        _wait_row(f"the same, while {OTHERS} others wait", beside),
    ]


def _wait_row(name: str, taken: list[float]) -> list[str]:
    shown = f"{median(taken):.2f} ms ({quantiles(taken, n=20)[-1]:.2f} in the 95th percentile)"
    return [name, shown, f"at most {WAIT_AT_MOST:.0f} ms"]


def _waits(peer: Peer, port: int, count: int) -> list[float]:
    """Milliseconds from the last byte that a client sent to the whole answer of who waited."""
    taken = []
    for _ in range(count):
        with socket.create_connection((HOST, peer.port), LOAD_LIMIT) as client:
            client.sendall(_MAIL)
            waiter = _wait(port, 1)
            client.sendall(_END)
            begun = time.perf_counter()
            count_answered = json.loads(waiter.getresponse().read())["count"]
            taken.append((time.perf_counter() - begun) * 1000)
            waiter.close()
        if count_answered != 1:
            raise MeasurementError(f"a waiter was answered with {count_answered} messages")
    return taken


def _wait(port: int, count: int) -> http.client.HTTPConnection:
    """A client that waits and takes what it waited for."""
    connection = http.client.HTTPConnection(HOST, port, timeout=LOAD_LIMIT)
    connection.request("GET", f"/smtpmock/messages?count={count}&timeout=600&purge=true")
    return connection


def _memory_row(messages: int) -> list[str]:
    with _with_http() as (peer, port):
        empty = resident(peer)
        send(smtp_source(), Load(messages, KB), peer)
        more = resident(peer) - empty
        sessions = _ask(port, "/smtpmock/sessions")["count"]
    if sessions:
        raise MeasurementError(f"{sessions} sessions have not ended")
    return [f"{messages:,} stored messages of 1 KB", f"{more:+.1f} MiB", f"at most {STORED_AT_MOST:.0f} MiB"]


@contextmanager
def _with_http() -> Iterator[tuple[Peer, int]]:
    """The server with its HTTP port, which has had a request."""
    port = free_port()
    with running("ours", ours(f"-httpPort={port}")) as peer:
        _ask(port, "/smtpmock/messages", "DELETE")
        yield peer, port


def _ask(port: int, path: str, method: str = "GET") -> dict[str, int]:
    connection = http.client.HTTPConnection(HOST, port, timeout=LOAD_LIMIT)
    try:
        connection.request(method, path)
        body = connection.getresponse().read()
    finally:
        connection.close()
    answer: dict[str, int] = json.loads(body) if body.startswith(b"{") else {}
    return answer
