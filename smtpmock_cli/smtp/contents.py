"""Contents: which texts of the rules a message's body holds, found out no further than a rule asks."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from .counters import ActiveRule
from .grams import SLICE, Grams, common

_AT_ONCE = 1024 * 1024
"""Bytes to search for one text without a pause."""
_SINGLY = 128
"""Up to this many texts are searched for one by one, which takes no longer than a pass for all."""
_FIRST = 8
"""Of more, the first few are searched for one by one: the rule of one of them may fire, and the rest is not needed."""
_BEGINNING = 4
"""Texts that have this many first bytes in common are ruled out together, by all that they begin with."""
_PIECE = 256 * 1024
"""Bytes of a body to search for one text at a time."""
_SEARCH_COST = 256
"""The cost of starting a search, in bytes searched."""
_SHORT_COST = 4
"""The cost of a byte where little is searched, in which the interpreter tries a text at each place."""


class Texts:
    """The texts that all rules look for.

    :param texts: without duplicates.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = tuple(texts)
        self._beginnings = _beginnings(self._texts)
        self._grams = Grams(self._texts) if len(self._texts) > _SINGLY else None

    def may_be_in(self, body: bytes) -> bool:
        """Whether a body holds one of them; also True if finding out takes long."""
        beginnings = self._beginnings
        return len(beginnings) * (_SEARCH_COST + len(body)) > _AT_ONCE or True in map(body.__contains__, beginnings)

    def search(self, body: bytes) -> Search:
        """A search of one body."""
        return Search(self._grams, body)


def _beginnings(texts: Iterable[bytes]) -> list[bytes]:
    """What the texts begin with: one beginning for all that share their first bytes."""
    alike: dict[bytes, list[bytes]] = {}
    for text in texts:
        alike.setdefault(text[:_BEGINNING], []).append(text)
    return [begun[: common(begun, max(group))] for group in alike.values() for begun in [min(group)]]


class Search:
    """Searches one body, in steps that yield their costs.

    :param grams: those of all texts, if there are enough texts for a pass.
    """

    def __init__(self, grams: Grams | None, body: bytes) -> None:
        self._grams = grams
        self._body = body
        self._known: dict[bytes, bool] = {}
        self.is_complete = False
        """Whether the result for every text is known."""

    def holds(self, text: bytes) -> Generator[int, None, bool]:
        """Whether the body holds this text."""
        if text not in self._known and not self.is_complete:
            if self._grams is not None and len(self._known) >= _FIRST:
                yield from self._look_for_all(self._grams)
                self.is_complete = True
            else:
                self._known[text] = yield from self._look_for(text)
        return self._known.get(text, False)

    def holding(self, rules: Iterable[ActiveRule]) -> list[ActiveRule]:
        """The rules whose texts the body holds, or which have none; once the search is complete."""
        known = self._known
        return [active for active in rules if active.contains is None or known.get(active.contains, False)]

    def _look_for(self, text: bytes) -> Generator[int, None, bool]:
        piece = max(_PIECE, len(text))
        for at in range(0, len(self._body), piece):
            end = at + piece + len(text) - 1
            if self._body.find(text, at, end) >= 0:
                return True
            yield _SEARCH_COST + min(end, len(self._body)) - at
        return False

    def _look_for_all(self, grams: Grams) -> Generator[int, None, None]:
        yield from grams.prepare()
        for at in range(0, len(self._body), SLICE):
            near = grams.near(self._body, at)
            yield grams.cost(len(self._body) - at)
            for text in near:
                if text not in self._known:
                    yield self._verify(text, at)

    def _verify(self, text: bytes, at: int) -> int:
        """Search for a text around the slice that may hold its gram; returns the cost."""
        begin, end = max(0, at - len(text)), at + SLICE + len(text)
        if self._body.find(text, begin, end) >= 0:
            self._known[text] = True
        return _SEARCH_COST + _SHORT_COST * (end - begin)
