"""How results are shown: blocks of Markdown, each with an empty line after it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from statistics import median

import click


def machine(remark: str = "") -> None:
    """What the figures were measured on."""
    note(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"{platform.python_implementation()} {platform.python_version()}{remark}"
    )


def title(text: str) -> None:
    click.echo(f"## {text}\n")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, padded so that it reads well unrendered too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"| {' | '.join(cells)} |")
    click.echo()


def note(text: str) -> None:
    """Something that belongs to the results, such as what could not be measured."""
    click.echo(f"{text}\n")


def progress(text: str) -> None:
    click.echo(text, err=True)


def spread(ratios: Sequence[float]) -> str:
    """Ratios as their median, with the least and the greatest."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
