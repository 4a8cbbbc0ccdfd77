"""Index: which of thousands of globs may fit a text.

Whether one fits is up to :class:`~smtpmock_cli.smtp.globs.Glob` alone; the index finds those worth asking. Globs
without a wildcard are looked up in a dictionary. Of the others, the literal part that the fewest globs share has to be
in the text. Both are compared case-folded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator

from .grams import SLICE, Grams, shared

_LOOK_UP_COST = 2 * 1024
"""The cost of a lookup, in bytes searched for one text; so are the others."""
_BUILD_COST = 2 * 1024
"""The cost of adding a glob, and of each of its characters."""
_CHARACTER_COST = 256
_SEARCH_COST = 256
"""The cost of starting to search a text for a part."""

# Possessive, because translate() does not backtrack into a set.
_wildcards = re.compile(r"\*|\?|\[!?+\]?+[^\]]*+\]").split
_DOTTED = {0x130: "i", 0x131: "i"}


class Index:
    """Globs that :meth:`near` finds by what they ask for.

    :param patterns: without duplicates; read by the first :meth:`near`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._literal: dict[str, list[str]] = {}
        self._by_part: dict[bytes, list[str]] = {}
        self._anything: list[str] = []
        self._grams = Grams(self._by_part)
        # Not: a method, as in Grams.
        self._preparing = _prepare(patterns, self._literal, self._by_part, self._anything)
        self._is_ready = False

    def near(self, text: str) -> Generator[int, None, Iterable[str]]:
        """The patterns that may fit the text or what follows its last ``@``; all that do are among them.

        Yields the costs of its steps.
        """
        if not self._is_ready:
            yield from shared(self._preparing)
            yield from self._grams.prepare()
            self._is_ready = True
        yield _LOOK_UP_COST
        folded = fold(text)
        found = dict.fromkeys(self._anything)
        for whole in {folded, folded.rpartition("@")[2]}:
            found |= dict.fromkeys(self._literal.get(whole, ()))
        if self._by_part:
            for part in (yield from self._parts_in(folded.encode("utf-8", "surrogatepass"))):
                found |= dict.fromkeys(self._by_part[part])
        return found

    def _parts_in(self, data: bytes) -> Generator[int, None, list[bytes]]:
        looked_for: dict[bytes, bool] = {}
        for at in range(0, len(data), SLICE):
            near = self._grams.near(data, at)
            yield self._grams.cost(len(data) - at)
            for part in near:
                if part not in looked_for:
                    looked_for[part] = part in data
                    yield _SEARCH_COST + len(data)
        return [part for part, is_there in looked_for.items() if is_there]


def _prepare(
    patterns: Iterable[str], literal: dict[str, list[str]], by_part: dict[bytes, list[str]], anything: list[str]
) -> Iterator[int]:
    parts: dict[str, list[str]] = {}
    shared_by: dict[str, int] = defaultdict(int)
    for pattern in patterns:
        parts[pattern] = [fold(part) for part in _wildcards(pattern)]
        for part in parts[pattern]:
            shared_by[part] += 1
        yield _BUILD_COST + _CHARACTER_COST * len(pattern)
    for pattern, (*others, last) in parts.items():
        rarest = min(filter(None, [*others, last]), key=lambda part: (shared_by[part], -len(part)), default="")
        if not others:
            literal.setdefault(last, []).append(pattern)
        elif rarest:
            by_part.setdefault(rarest.encode("utf-8", "surrogatepass"), []).append(pattern)
        else:
            anything.append(pattern)
        yield _BUILD_COST + _CHARACTER_COST * len(pattern)


def fold(text: str) -> str:
    """Fold case so that all texts which ``re.IGNORECASE`` takes for the same become the same; more may."""
    # re takes the dotted capital and the dotless small I for an i; casefold() does not.
    return text.lower() if text.isascii() else text.translate(_DOTTED).casefold()
