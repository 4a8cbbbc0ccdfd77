"""What one replica of packaging/kubernetes takes, and how far several on one machine add up: docs/scale.md."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from statistics import median

from tests.e2e.tools import Tool, ToolMissing, smtp_source

from . import report
from .processes import Launch, Load, MeasurementError, free_port, ours, running, send

MESSAGES = 20_000
"""To each server in each round; a quick run sends a tenth."""
COUNTS = (1, 2, 4)
"""Replicas at a time."""
LOADS = {
    "a connection each": Load(MESSAGES, 1024),
    "connection kept": Load(MESSAGES, 1024, connection_kept=True),
}


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table; False where a measurement failed."""
    report.title("Replicas")
    rows: list[list[str]] = []
    try:
        source = smtp_source()
        for name, load in LOADS.items():
            rows += _rows(source, name, load._replace(messages=load.messages // (10 if quick else 1)), rounds)
    except ToolMissing as missing:
        report.note(f"Not measured: {missing}.")
    except MeasurementError as failure:
        report.note(f"Failed: {failure}")
        return False
    if rows:
        report.table(["1 KB", "messages/s", "multiple of one without inbox and file (median, min–max)"], rows)
    return True


def _rows(source: Tool, name: str, load: Load, rounds: int) -> list[list[str]]:
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    ratios: dict[int, list[float]] = {count: [] for count in COUNTS}
    for number in range(rounds + 1):
        with running("plain", ours()) as plain:
            alone = load.messages / send(source, load, plain)
        for count in COUNTS:
            rate = _rate(source, load, count)
            if number:  # the first is to warm up
                rates[count].append(rate)
                ratios[count].append(rate / alone)
        if number:
            last = ", ".join(f"{count}: {rates[count][-1]:.0f}/s" for count in COUNTS)
            report.progress(f"replicas, {name}, round {number} of {rounds}: {last}")
    return [
        [f"{name}, {count} at a time", f"{median(rates[count]):,.0f}", report.spread(ratios[count])] for count in COUNTS
    ]


def _rate(source: Tool, load: Load, count: int) -> float:
    """Messages per second that this many replicas take together, each from its own generator."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as generators:
        peers = [stack.enter_context(running(f"replica {number}", _replica())) for number in range(count)]
        begun = time.perf_counter()
        list(generators.map(partial(send, source, load), peers))
        return count * load.messages / (time.perf_counter() - begun)


def _replica() -> Launch:
    """As in the cluster: an inbox over HTTP, and a line of JSON per message."""
    return ours(f"-httpPort={free_port()}", "-messagesFile=/dev/stdout")
