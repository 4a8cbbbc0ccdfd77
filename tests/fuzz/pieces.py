"""How an input's first bytes choose: a configuration, and where the stream behind them is cut.

Invariant: a header byte is taken modulo what there is to choose from, so that every input is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MOST_PIECES = 64


def chosen(choices: Sequence[T], byte: int) -> T:
    return choices[byte % len(choices)]


def cut(stream: bytes, first: int, size: int) -> list[bytes]:
    """The stream in pieces: one of ``first`` bytes, then all of ``size``, or longer where they were too many."""
    size = max(1, size, len(stream) // MOST_PIECES)
    rest = stream[first:]
    return [stream[:first], *(rest[at : at + size] for at in range(0, len(rest), size))]
