"""Case: an input of any size that is bad for somebody, and the call that takes it.

Where many units make inputs for the same code, they are taken one after the other in one call: one that costs more
than by its length outweighs all others at these sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import AnyStr, NamedTuple

from benchmarks.recognisers import LINE

SIZE = LINE // 4
"""The smaller of two sizes, in bytes. Not less: above some kilobytes, the C library copies in another way."""

Call = Callable[[], object]


class Case(NamedTuple):
    """``scale`` is less than 1 where each byte costs much already, and more where only much of them tells."""

    name: str
    prepare: Callable[[int], Call]
    scale: float = 1

    def call(self, size: int) -> Call:
        """What is to cost no more than by the size."""
        return self.prepare(int(size * self.scale))


def each(take: Callable[[AnyStr], object], inputs: Iterable[AnyStr]) -> Call:
    """A call that gives away all inputs, which are made before."""
    made = list(inputs)

    def call() -> None:
        for given in made:
            take(given)

    return call


def filled(units: Sequence[AnyStr], size: int) -> Iterator[AnyStr]:
    """Each unit, again and again, up to so many characters or bytes."""
    return ((unit * (size // len(unit) + 1))[:size] for unit in units)
