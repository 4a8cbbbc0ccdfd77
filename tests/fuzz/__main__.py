"""``python -m tests.fuzz``: runs one target after the other, then prints a table; what goes on is told on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import report
from benchmarks.processes import end_on_sigterm

from . import runs
from .targets import MODULES


@click.command(help="Fuzz the targets named, or all of them, each until it reaches one of its bounds.")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--executions", type=click.IntRange(1), default=100_000, show_default=True, help="How many a target.")
@click.option("--seconds", type=click.IntRange(1), default=600, show_default=True, help="How long a target.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default="another each time", help="Makes a first run repeatable."
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Give the one target named this input instead, and show how it fails.",
)
def main(targets: Sequence[str], executions: int, seconds: int, seed: int, replay: Path | None) -> None:
    unknown = [target for target in targets if target not in MODULES]
    if unknown:
        raise click.UsageError(f"no such target: {unknown[0]}; there are {', '.join(MODULES)}")
    if replay is not None:
        if len(targets) != 1:
            raise click.UsageError("--replay takes exactly one target")
        runs.replay(targets[0], replay)
        return
    if not runs.is_possible():
        raise click.ClickException(runs.MISSING)
    end_on_sigterm()
    sys.exit(show([_fuzz(target, executions, seconds, seed) for target in targets or MODULES]))


def _fuzz(target: str, executions: int, seconds: int, seed: int) -> runs.Run:
    report.progress(f"{target}: {executions:,} executions or {seconds} s")
    return runs.fuzz(target, executions, seconds, seed=seed)


def show(done: Sequence[runs.Run]) -> int:
    """Print what came of the runs; gives the exit code."""
    rows = [
        [run.target, f"{run.executions:,}", f"{run.executions / run.seconds:,.0f}", f"{run.features:,}", _found(run)]
        for run in done
    ]
    total = sum(run.executions for run in done)
    rate = total / sum(run.seconds for run in done)
    report.title("Fuzzing")
    report.table(
        ["target", "executions", "a second", "features", "findings"],
        [*rows, ["all", f"{total:,}", f"{rate:,.0f}", "", ""]],
    )
    found = [run for run in done if run.finding is not None]
    for run in found:
        report.note(f"{run.target}: {run.finding}\nAgain: script/fuzz {run.target} --replay {run.finding}")
    return 1 if found else 0


def _found(run: runs.Run) -> str:
    return "none" if run.finding is None else run.finding.name


if __name__ == "__main__":
    main(prog_name="script/fuzz")
