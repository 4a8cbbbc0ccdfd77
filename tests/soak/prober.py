"""``python -m tests.soak.prober PORT``: asks NOOP again and again, and prints how long each reply took.

A process of its own, so that what the measurement itself does is not in the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from benchmarks.processes import LOAD_LIMIT, ROOT, MeasurementError
from tests.helpers import Client

_PAUSE = 0.001
"""Seconds between a reply and the next question: a client that asks without end would be what is measured."""
_FEWEST = 100
"""Replies, for there to be a percentile."""
_OK = "250 Ok"


@contextmanager
def probing(port: int) -> Iterator[list[float]]:
    """Ask while the block runs; the list has the seconds that each reply took, once it has ended."""
    times: list[float] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.prober", str(port)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise MeasurementError("the prober did not get its first reply")
        yield times
        out, _ = process.communicate(timeout=LOAD_LIMIT)
        times += json.loads(out)
    finally:
        process.kill()
        process.wait()


def main(port: int) -> None:
    """Ask until standard input ends."""
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    times: list[float] = []
    with Client(port) as client:
        assert client.ask(b"NOOP\r\n") == _OK
        click.echo("ready")
        while not ended.is_set() or len(times) < _FEWEST:
            begun = time.perf_counter()
            assert client.ask(b"NOOP\r\n") == _OK
            times.append(time.perf_counter() - begun)
            time.sleep(_PAUSE)
    click.echo(json.dumps(times))


if __name__ == "__main__":
    main(int(sys.argv[1]))
