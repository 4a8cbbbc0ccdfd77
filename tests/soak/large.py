"""A large message: what it costs the small ones beside it, and how much memory it takes to come in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from benchmarks.processes import LOAD_LIMIT, MeasurementError, Peer, ours, running
from tests.helpers import Client

from . import procfs
from .crowd import Crowd
from .figures import Figure, at_least, at_most, not_measured, reply_times
from .parts import sender

SENDERS = 100
MESSAGES, QUICK_MESSAGES = 400, 20
"""Small ones, by each sender."""
REPLY_AT_MOST = 50.0
"""Milliseconds, in the 99th percentile."""
PEAK_AT_MOST = 2.2
"""Of the message's size."""
_LINE = b"VGhpcyBpcyBhIHBhcnQgb2YgYSBsYXJnZSBtZXNzYWdlLCBhcyBiYXNlIDY0IGhhcyBpdC4gTW9y\r\n"
LARGE = _LINE * (10_000_000 // len(_LINE))
_MB = 1_000_000


def measure(*, quick: bool) -> list[Figure]:
    return [*_beside(QUICK_MESSAGES if quick else MESSAGES, quick=quick), _peak()]


def _beside(messages: int, *, quick: bool) -> list[Figure]:
    alone: list[float] = []
    beside: list[float] = []
    load = f"{SENDERS} senders of small messages"
    with running("ours", ours()) as peer:
        _send_small(peer, messages, alone)
        stop = Event()
        with ThreadPoolExecutor(1) as pool:
            large = pool.submit(_send_large, peer, stop)
            try:
                _send_small(peer, messages, beside)
            finally:
                stop.set()
            count = large.result(LOAD_LIMIT)
    return [
        reply_times(load, "replies", alone, "p99", REPLY_AT_MOST, quick=quick),
        reply_times(f"{load}, beside large ones", "replies", beside, "p99", REPLY_AT_MOST, quick=quick),
        at_least(f"{load}, beside large ones", f"messages of {len(LARGE) / _MB:.0f} MB meanwhile", count, 1),
    ]


def _send_small(peer: Peer, messages: int, taken: list[float]) -> None:
    Crowd(peer.port, [sender(messages, taken) for _ in range(SENDERS)]).play(LOAD_LIMIT)


def _send_large(peer: Peer, stop: Event) -> int:
    """Large messages, as fast as they are taken, until told to stop; how many there were."""
    count = 0
    with Client(peer.port) as client:
        while not stop.is_set():
            _send_one(client)
            count += 1
    return count


def _send_one(client: Client) -> None:
    client.envelope()
    client.send(LARGE)
    reply = client.ask(b".\r\n")
    if not reply.startswith("250"):
        raise MeasurementError(f"a large message was answered with {reply}")


def _peak() -> Figure:
    load, measured = f"a message of {len(LARGE) / _MB:.0f} MB", "memory at the peak, above idle"
    if not procfs.is_here():
        return not_measured(load, measured, procfs.WHY_NOT)
    with running("ours", ours()) as peer, Client(peer.port) as client:
        idle = procfs.resident(peer)
        procfs.reset_peak(peer)
        _send_one(client)
        return at_most(load, measured, (procfs.peak(peer) - idle) / len(LARGE), PEAK_AT_MOST, "× its size")
