"""Many messages in one run: none lost, none doubled, for who reads over HTTP and for who reads the file.

Each message carries a number, so that it is known again, whole or not, wherever it comes out.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks import report
from benchmarks.processes import HOST, LOAD_LIMIT, Peer, free_port, ours, running

from . import procfs
from .crowd import Crowd
from .figures import Figure, at_most, exactly, not_measured
from .parts import body, pipelining_sender

MESSAGES, QUICK_MESSAGES = 200_000, 10_000
BATCHES = 10
"""The messages are sent in so many loads, each with a deadline of its own."""
SENDERS = 10
GROWTH_AT_MOST = 2.0
"""MiB, from the first batch's end to the last one's."""
_MIB = 1024 * 1024
_FLAG = "-multipleMessageReceiving"
_TAKE = "/smtpmock/messages?purge=true&count={count}&timeout={timeout}"
_AT_ONCE = 500
"""Messages that the reader waits for, 1 second at the most."""


class Tally:
    """What came out at one place: each message's body by its id."""

    def __init__(self) -> None:
        self.bodies: dict[int, str] = {}
        self._repeated_ids = 0

    def add(self, record: dict[str, Any]) -> None:
        if not record["msg_request"]:  # who only looked whether the server listens left a message too
            return
        self._repeated_ids += record["id"] in self.bodies
        self.bodies[record["id"]] = record["msg_request"]

    def lost(self, messages: int) -> int:
        """How many of the numbered bodies are not there as they were sent."""
        return len({body(number) for number in range(messages)}.difference(self.bodies.values()))

    def doubled(self) -> int:
        return self._repeated_ids + len(self.bodies) - len(set(self.bodies.values()))


def measure(*, quick: bool) -> list[Figure]:
    messages = QUICK_MESSAGES if quick else MESSAGES
    return [*_counted(messages), _growth(messages)]


def _counted(messages: int) -> list[Figure]:
    port, load = free_port(), f"{messages:,} messages"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.jsonl"
        with running("ours", ours(_FLAG, f"-httpPort={port}", f"-messagesFile={path}")) as peer:
            over_http = _sent_and_taken(peer, port, messages)
        in_file = Tally()
        with path.open(encoding="ascii") as lines:
            for line in lines:
                in_file.add(json.loads(line))
    agreed = sum(in_file.bodies.get(id) == taken for id, taken in over_http.bodies.items())
    figures = [exactly(load, "in the file and over HTTP, with one id and body", agreed, messages)]
    for place, tally in (("over HTTP, purging", over_http), ("-messagesFile", in_file)):
        figures.append(exactly(load, f"{place}: lost", tally.lost(messages), 0))
        figures.append(exactly(load, f"{place}: doubled", tally.doubled(), 0))
    return figures


def _sent_and_taken(peer: Peer, http_port: int, messages: int) -> Tally:
    """Send while a second client takes messages out over HTTP."""
    sent = Event()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(_taken, http_port, sent)
        try:
            for _ in _batches(peer, messages):
                pass
        finally:
            sent.set()
        return taken.result(LOAD_LIMIT)


def _taken(port: int, sent: Event) -> Tally:
    """All that can be taken out until ``sent``, and what is left then."""
    tally = Tally()
    with closing(http.client.HTTPConnection(HOST, port, timeout=LOAD_LIMIT)) as connection:
        while True:
            is_last = sent.is_set()
            connection.request("GET", _TAKE.format(count=0 if is_last else _AT_ONCE, timeout=1))
            for record in json.load(connection.getresponse())["messages"]:
                tally.add(record)
            if is_last:
                return tally


def _batches(peer: Peer, messages: int) -> Iterator[None]:
    """Send the messages, in batches; gives after each."""
    batch, share = messages // BATCHES, messages // BATCHES // SENDERS
    for first in range(0, messages, batch):
        parts = [pipelining_sender(range(start, start + share)) for start in range(first, first + batch, share)]
        Crowd(peer.port, parts).play(LOAD_LIMIT)
        report.progress(f"count: {first + batch:,} of {messages:,} messages sent")
        yield


def _growth(messages: int) -> Figure:
    load, measured = f"{messages:,} messages, kept by nobody", "growth of resident memory after the first tenth"
    if not procfs.is_here():
        return not_measured(load, measured, procfs.WHY_NOT)
    with running("ours", ours(_FLAG)) as peer:
        resident = [procfs.resident(peer) for _ in _batches(peer, messages)]
    return at_most(load, measured, (resident[-1] - resident[0]) / _MIB, GROWTH_AT_MOST, "MiB")
