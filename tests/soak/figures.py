"""Figure: what was measured, with its bound and whether it holds; and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles
from typing import Literal, NamedTuple

from benchmarks import report

HEADER = ("load", "measured", "figure", "limit", "holds")
NOISE = 20
"""The short form gives a time so many times its limit: it runs beside other tests, on any machine."""


class Figure(NamedTuple):
    """A row of the table."""

    load: str
    measured: str
    figure: str
    limit: str = ""
    holds: bool = True


def at_most(load: str, measured: str, value: float, limit: float, unit: str = "") -> Figure:
    return _bounded(load, measured, "at most", value, limit, unit, holds=value <= limit)


def at_least(load: str, measured: str, value: float, limit: float, unit: str = "") -> Figure:
    return _bounded(load, measured, "at least", value, limit, unit, holds=value >= limit)


def exactly(load: str, measured: str, value: int, limit: int, unit: str = "") -> Figure:
    return _bounded(load, measured, "exactly", value, limit, unit, holds=value == limit)


def not_measured(load: str, measured: str, why: str) -> Figure:
    return Figure(load, measured, f"not measured: {why}")


def reply_times(
    load: str, measured: str, seconds: Sequence[float], held: Literal["p99", "max"], limit: float, *, quick: bool
) -> Figure:
    """The distribution in ms, of which one, ``held``, is to be at most the limit."""
    cuts = [cut * 1000 for cut in quantiles(seconds, n=100)]
    known = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(seconds) * 1000}
    told = ", ".join(f"{name} {value:.1f}" for name, value in known.items())
    limit *= NOISE if quick else 1
    shown = f"{held} at most {limit:g} ms"
    return Figure(load, f"{measured} ({len(seconds):,})", f"{told} ms", shown, known[held] <= limit)


def show(figures: Sequence[Figure]) -> None:
    report.table(HEADER, [[*figure[:-1], _verdict(figure)] for figure in figures])


def _verdict(figure: Figure) -> str:
    if not figure.holds:
        return "NO"
    return "yes" if figure.limit else ""


def _bounded(load: str, measured: str, bound: str, value: float, limit: float, unit: str, *, holds: bool) -> Figure:
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return Figure(load, measured, f"{shown} {unit}".strip(), f"{bound} {limit:,g} {unit}".strip(), holds)
