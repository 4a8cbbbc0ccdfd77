"""Rules as if they were thousands: found by what they ask for, and asked in the smallest steps."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar

import pytest

from smtpmock_cli.smtp import contents, decision, grams, index, rules, selection
from smtpmock_cli.smtp.decision import Decision
from smtpmock_cli.smtp.grams import Grams
from smtpmock_cli.smtp.rules import Decided, FiredRule

T = TypeVar("T")
SLICE = 3
_SMALLEST: tuple[tuple[ModuleType, dict[str, int]], ...] = (
    (rules, {"_FEW": -1, "STEP": 0, "_LEAST_YIELDED": 1}),
    (decision, {"STEP": 1, "_LEAST_STEP": 1}),
    (contents, {"_AT_ONCE": -1, "_SINGLY": -1, "_FIRST": 0, "_PIECE": 1, "SLICE": SLICE}),
    (grams, {"_FEW": 0, "SLICE": SLICE}),
    (index, {"SLICE": SLICE}),
    (selection, {"_FEW": 0, "_ASKED_TOGETHER": 1}),
)


@contextmanager
def in_steps() -> Iterator[None]:
    """Meanwhile, whatever rules decide is decided so."""
    before = [(module, {name: getattr(module, name) for name in names}) for module, names in _SMALLEST]
    try:
        _set(_SMALLEST)
        yield
    finally:
        _set(before)


def done(work: Generator[int, None, T]) -> T:
    """What work in steps comes to, each of which has to cost something."""
    while True:
        try:
            cost = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        assert cost > 0


def made(decided: Decided) -> FiredRule | None:
    """The rule that fires, however many steps it takes to find that out."""
    if not isinstance(decided, Decision):
        return decided
    while not decided.step():
        pass
    return decided.fired


def slices_looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the slices begin that are looked at from now on."""
    looked_at: list[int] = []
    near = Grams.near

    def counting(self: Grams, data: bytes, at: int) -> list[bytes]:
        looked_at.append(at)
        return near(self, data, at)

    monkeypatch.setattr(Grams, "near", counting)
    return looked_at


def _set(values: Iterable[tuple[ModuleType, dict[str, int]]]) -> None:
    for module, numbers in values:
        for name, number in numbers.items():
            setattr(module, name, number)
