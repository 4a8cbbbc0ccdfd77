from __future__ import annotations

from pathlib import Path

import pytest

from tests.linear.case import SIZE, Call, Case
from tests.linear.inputs import SQUARE, cases
from tests.linear.steps import CannotCount, bytecodes, instructions

MOST = 2.3
"""How many times more an input twice as long may cost."""
FEW_BYTECODES, FEW_INSTRUCTIONS = 50, 50_000
"""So much more does not matter."""
TRACED = SIZE // 8
"""The smaller size where each bytecode is traced, which is slow."""


def is_linear(short: int, long: int, few: int = 0) -> bool:
    return long <= MOST * short + few


def test_what_is_linear() -> None:
    assert is_linear(1000, 2300)
    assert not is_linear(1000, 2301)


@pytest.mark.parametrize("case", cases(), ids=[case.name for case in cases()])
def test_in_bytecodes(case: Case) -> None:
    bytecodes(case.call(64))  # what is made on first use is no cost of the input's; Python 3.13 traces it in part
    short, long = (bytecodes(case.call(size)) for size in (TRACED, 2 * TRACED))
    assert is_linear(short, long, FEW_BYTECODES), (short, long)


def square_in_python(size: int) -> Call:
    return lambda: [None for _ in range(size // 16) for _ in range(size // 16)]


def test_a_square_is_told_in_bytecodes() -> None:
    short, long = (bytecodes(square_in_python(size)) for size in (TRACED, 2 * TRACED))
    assert not is_linear(short, long, FEW_BYTECODES)


def test_in_instructions(tmp_path: Path) -> None:
    """Many in one process, because its start takes longer than most cases."""
    try:
        costs = instructions([SIZE, 2 * SIZE], tmp_path)
    except CannotCount as why:
        pytest.skip(str(why))
    steep = {
        name: f"{short:,}, then {long:,}"
        for name, (short, long) in costs.items()
        if not is_linear(short, long, FEW_INSTRUCTIONS)
    }
    assert all(short > 0 for short, _ in costs.values())
    assert list(steep) == [SQUARE.name], steep
