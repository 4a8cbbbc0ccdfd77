"""What the command-line program holds in memory, idle and after many messages."""

from __future__ import annotations

import time

from tests.e2e.tools import ToolMissing, smtp_source
from tests.soak import procfs

from . import report
from .processes import Load, MeasurementError, Peer, ours, running, send

MESSAGES = 100_000
QUICK = 10
"""A quick run sends this part of the messages."""
SIZE = 1024
"""Bytes of a message."""
BATCHES = 10
"""The messages are sent in so many loads, each with a deadline of its own."""
SETTLE = 0.5
"""Seconds that the last sessions get to end."""
IDLE_AT_MOST = 20.0
"""MiB."""
GROWTH_AT_MOST = 2.0
"""MiB."""


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table; False where a measurement failed. One round is enough: nothing here is a time."""
    report.title("Memory")
    if not procfs.is_here():
        report.note("Not measured: this system has no /proc to read a process's memory from.")
        return True
    messages = MESSAGES // (QUICK if quick else 1)
    try:
        with running("ours", ours()) as peer:
            rows = _rows(peer, messages)
    except MeasurementError as failure:
        report.note(f"Failed: {failure}")
        return False
    report.table(["resident memory", "MiB", "at most"], rows)
    return True


def _rows(peer: Peer, messages: int) -> list[list[str]]:
    idle = resident(peer)
    rows = [["idle, after start", f"{idle:.1f}", f"{IDLE_AT_MOST:.0f}"]]
    try:
        _send(peer, messages)
    except ToolMissing as missing:
        report.note(f"Only idle: {missing}.")
        return rows
    after = resident(peer)
    return [
        *rows,
        [f"after {messages:,} messages of 1 KB", f"{after:.1f}", ""],
        ["growth", f"{after - idle:+.1f}", f"{GROWTH_AT_MOST:.0f}"],
    ]


def _send(peer: Peer, messages: int) -> None:
    source = smtp_source()
    for number in range(1, BATCHES + 1):
        send(source, Load(messages // BATCHES, SIZE), peer)
        report.progress(f"memory: {messages * number // BATCHES:,} of {messages:,} messages sent")


def resident(peer: Peer) -> float:
    """Resident memory in MiB, once nothing is under way."""
    time.sleep(SETTLE)
    return procfs.resident(peer) / 1024 / 1024
