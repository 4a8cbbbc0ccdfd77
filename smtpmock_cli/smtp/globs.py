"""Globs: patterns with ``*``, ``?`` and ``[ab]``, matched as ``fnmatch`` does, ignoring case as ``re`` does."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

_FIT_COST = 2 * 1024
_CHARACTER_COST = 8
_PAIR_COST = 16
"""The cost of a character of the text and one of the pattern: at worst, each is compared with each."""
_COMPILE_COST = 64 * 1024
_COMPILE_CHARACTER_COST = 16 * 1024


class Glob:
    """A pattern, compiled on first use: compiling thousands takes a second."""

    __slots__ = ("_match", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._match: Callable[[str], object] | None = None

    def cost(self, text: str) -> int:
        """The cost of matching a text, in bytes searched for one text."""
        cost = _FIT_COST + cost_of_character(len(self.pattern)) * len(text)
        return cost if self._match else cost + _COMPILE_COST + _COMPILE_CHARACTER_COST * len(self.pattern)

    def fits(self, text: str) -> bool:
        match = self._match or self._compile()
        return match(text) is not None

    def fits_path(self, path: str) -> bool:
        """Whether it fits an address, or its domain alone."""
        match = self._match or self._compile()
        return match(path) is not None or match(path.rpartition("@")[2]) is not None

    def _compile(self) -> Callable[[str], object]:
        self._match = re.compile(translate(self.pattern), re.IGNORECASE).match
        return self._match


def cost_of_character(pattern_length: int) -> int:
    """What each character of a text adds to the cost of matching it with patterns of this total length."""
    return _CHARACTER_COST + _PAIR_COST * pattern_length


class Globs(dict[str, Glob]):
    """Globs by pattern, created on first use."""

    def __missing__(self, pattern: str) -> Glob:
        glob = self[pattern] = Glob(pattern)
        return glob
