"""``python -m benchmarks``: prints Markdown tables; what goes on meanwhile is told on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tests import environment

from . import http_side, memory, recognisers, replicas, report, rules_side, startup, throughput
from .processes import end_on_sigterm

PARTS = {
    "throughput": throughput.measure,
    "http": http_side.measure,
    "rules": rules_side.measure,
    "replicas": replicas.measure,
    "memory": memory.measure,
    "recognisers": recognisers.measure,
    "startup": startup.measure,
}


@click.command(help="Measure the parts named, or all of them.")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="A tenth of the work: a look, not a figure to keep.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How often each load is sent to each peer.",
)
def main(parts: Sequence[str], quick: bool, rounds: int) -> None:
    end_on_sigterm()
    environment.clear_settings()
    report.machine(", a quick run" if quick else "")
    done = [PARTS[part](quick=quick, rounds=rounds) for part in parts or PARTS]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main(prog_name="benchmarks")
