"""Nothing in these tests is left to chance: every run draws the same examples, in every checkout."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import ROOT

CHANCE = re.compile(r"os\.urandom\(|\bRandom\(\)|\brandom\.(?!Random\b)\w+\(|\bsecrets\.[a-z]+_?[a-z]*\(|\buuid[14]\(")
"""What draws otherwise each time."""


def drawn() -> list[str]:
    """The examples of a property test."""
    examples: list[str] = []

    @given(st.text())
    def draw(text: str) -> None:
        examples.append(text)

    draw()
    return examples


def test_every_run_draws_the_same_examples() -> None:
    first = drawn()
    assert len({*first}) > 50
    assert drawn() == first


def test_no_example_of_an_earlier_run_is_played_again() -> None:
    assert settings().database is None


def test_no_test_draws_by_itself() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_chance.py"]
    drawing = [
        f"{path.name}:{number}"
        for path in tests
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if CHANCE.search(line)
    ]
    assert drawing == []
    assert CHANCE.search("random.random()")
    assert CHANCE.search("Random()")
