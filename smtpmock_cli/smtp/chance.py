"""Chance: the random numbers of whatever is left to chance, by the seed that was given.

Invariant: each thing draws from its own generator, so that no other changes what it draws.
"""

from __future__ import annotations

from random import Random


def generator(seed: int | None, name: str) -> Random:
    """A generator for what has this name: the same in every run with the seed; without one, another each time."""
    # As a text, which Random hashes whole, alike on every platform since Python 3.2. Not: seed * 1000 + number, because
    # then the 1001st rule of one seed is the first of the next.
    return Random(None if seed is None else f"{seed} {name}")
