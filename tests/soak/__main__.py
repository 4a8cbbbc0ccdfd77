"""``python -m tests.soak``: prints a Markdown table; what goes on meanwhile is told on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from benchmarks import report
from benchmarks.processes import MeasurementError, end_on_sigterm
from tests import environment

from . import count, delays, idle, large, rules, stored
from .figures import Figure, show

PARTS = {
    "idle": idle.measure,
    "count": count.measure,
    "delays": delays.measure,
    "large": large.measure,
    "stored": stored.measure,
    "rules": rules.measure,
}


@click.command(help="Run the loads named, or all of them; 1 where something was lost or a bound does not hold.")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="The short form: less work, and bounds of time that a busy machine holds.")
def main(parts: Sequence[str], quick: bool) -> None:
    end_on_sigterm()
    environment.clear_settings()
    report.machine(", the short form" if quick else "")
    figures: list[Figure] = []
    for part in parts or PARTS:
        report.progress(f"{part} …")
        try:
            figures += PARTS[part](quick=quick)
        except (MeasurementError, OSError) as failure:
            figures.append(Figure(part, "", f"failed: {failure}", holds=False))
    show(figures)
    sys.exit(0 if all(figure.holds for figure in figures) else 1)


if __name__ == "__main__":
    main(prog_name="soak")
