"""All cases, and one that is by the square, which whoever counts has to tell from the others."""

from __future__ import annotations

from functools import cache

from . import streams, texts
from .case import Call, Case


@cache
def cases() -> tuple[Case, ...]:
    return (*texts.cases(), *streams.cases())


def _partitioned(size: int) -> Call:
    """What is left is copied for each of its lines, in C."""

    def call() -> None:
        rest = b"NOOP\r\n" * (size // 6)
        while rest:
            rest = rest.partition(b"\n")[2]

    return call


SQUARE = Case("by the square", _partitioned, 1 / 2)
