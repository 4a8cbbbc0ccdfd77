"""Many connections that are idle, and a few that send messages beside them."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.processes import Peer, ours, running
from tests.helpers import HELO, Client

from . import descriptors, procfs
from .crowd import Crowd
from .figures import Figure, at_most, exactly, not_measured, reply_times
from .parts import sender

IDLE, QUICK_IDLE = 5_000, 500
SENDERS = 100
MESSAGES, QUICK_MESSAGES = 400, 20
"""By each sender."""
REPLY_AT_MOST = 50.0
"""Milliseconds, in the 99th percentile."""
CONNECTION_AT_MOST = 6.0
"""KiB of resident memory."""
WATCHED = 3.0
"""Seconds in which the process is to do nothing at all."""
LIMIT = 120.0
"""Seconds that the senders may take."""
_FLAGS = ("-sessionTimeout=3600",)


def measure(*, quick: bool) -> list[Figure]:
    descriptors.lower()
    with running("ours", ours(*_FLAGS)) as peer, ExitStack() as opened:
        count = descriptors.enough_for(QUICK_IDLE if quick else IDLE)
        load = f"{count:,} idle"
        before = procfs.resident(peer) if procfs.is_here() else 0
        idle = [opened.enter_context(_idle_client(peer)) for _ in range(count)]
        figures = [*_at_rest(load, peer, count, before), _beside(load, peer, quick=quick)]
        alive = sum(client.ask(b"NOOP\r\n").startswith("250") for client in idle)
        return [*figures, exactly(load, "sessions that go on afterwards", alive, count)]


def _idle_client(peer: Peer) -> Client:
    client = Client(peer.port)
    client.ask(HELO)
    return client


def _at_rest(load: str, peer: Peer, count: int, before: int) -> list[Figure]:
    if not procfs.is_here():
        return [not_measured(load, "memory and work at rest", procfs.WHY_NOT)]
    procfs.wait_until_asleep(peer)
    each = (procfs.resident(peer) - before) / count / procfs.KB
    ticks, switches = procfs.ticks(peer), procfs.switches(peer)
    time.sleep(WATCHED)
    return [
        at_most(load, "resident memory of each", each, CONNECTION_AT_MOST, "KiB"),
        exactly(load, f"processor time in {WATCHED:g} s", procfs.ticks(peer) - ticks, 0, "ticks"),
        exactly(load, f"context switches in {WATCHED:g} s", procfs.switches(peer) - switches, 0),
    ]


def _beside(load: str, peer: Peer, *, quick: bool) -> Figure:
    taken: list[float] = []
    messages = QUICK_MESSAGES if quick else MESSAGES
    Crowd(peer.port, [sender(messages, taken) for _ in range(SENDERS)]).play(LIMIT)
    return reply_times(load, f"replies to {SENDERS} that send", taken, "p99", REPLY_AT_MOST, quick=quick)
