"""Grams: which of thousands of texts may be in some data, found in one pass at C speed.

Each text is represented by a gram: up to eight consecutive bytes that distinguish it from the texts most like it, so
long common beginnings and ends do not matter. The pass looks up every sequence of that many bytes of the data, as a
number, in a dictionary of the grams. That rules out most texts; whoever asks searches for the others.

Not: one regular expression of all texts, because it tries them one after the other at each byte (3,000 texts in 1 MB: 6
to 13 seconds). Not: an automaton in Python, because it executes many bytecodes per byte.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence

SLICE = 4 * 1024
"""Bytes of data per lookup; more are not faster."""
GRAM_COST = 48
"""The cost of one byte of a pass, in bytes searched for one text; so are the others."""
_PASS_COST = 2 * 1024
"""The cost of starting on a slice."""
_SORT_COST = 768
_TOGETHER = 64
"""Texts to sort without a pause."""
_BUILD_COST = 6 * 1024
"""The cost of finding one text's gram."""
_LEAST = (2, 3, 4, 8)
"""The least lengths of the groups of texts, each of which takes a pass; its grams are as wide as its shortest text."""
_WIDEST = 8
_FEW = 16
"""Groups of up to this many texts are not worth a pass."""

_Table = tuple[int, dict[int, list[bytes]]]
"""The width of a group's grams, and its texts by their grams."""


class Grams:
    """Texts by their grams.

    :param texts: without duplicates, none of them empty; read by :meth:`prepare`.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._anywhere: list[bytes] = []
        self._tables: list[_Table] = []
        # Not: a method, because its generator would refer to this object, a cycle for as long as it is not exhausted.
        self._preparing = _prepare(texts, self._anywhere, self._tables)

    def prepare(self) -> Iterator[int]:
        """Find the grams, in steps that yield their costs; to be exhausted before :meth:`near` is called."""
        return shared(self._preparing)

    def cost(self, size: int) -> int:
        """The cost of :meth:`near` for a slice of data of which this many bytes are left."""
        return _PASS_COST + GRAM_COST * min(size, SLICE) * len(self._tables)

    def near(self, data: bytes, at: int) -> list[bytes]:
        """The texts whose grams may start in the slice of the data that starts at ``at``."""
        found = self._anywhere.copy()
        for width, table in self._tables:
            numbers = _numbers(data[at : at + SLICE + width - 1], width)
            for number in table.keys() & numbers:
                found += table[number]
        return found


def shared(work: Iterator[int]) -> Iterator[int]:
    """Continue work that several wait for: each does its part, and one that is dropped does not end it."""
    # Not: yield from, because it closes the generator with whoever is dropped.
    for cost in work:  # noqa: UP028
        yield cost


def _prepare(texts: Iterable[bytes], anywhere: list[bytes], tables: list[_Table]) -> Iterator[int]:
    kinds: dict[int, list[bytes]] = {}
    for number, text in enumerate(texts):
        kinds.setdefault(bisect(_LEAST, len(text)), []).append(text)
        if not number % _TOGETHER:
            yield _SORT_COST * _TOGETHER
    for kind, alike in kinds.items():
        if kind and len(alike) > _FEW:
            yield from _compare(alike, tables)
        else:
            anywhere += alike


def _compare(texts: Sequence[bytes], tables: list[_Table]) -> Iterator[int]:
    width = min(_WIDEST, min(map(len, texts)))
    table: dict[int, list[bytes]] = {}
    for text, telling in _told_apart(texts):
        end = max(width, min(telling, len(text)))
        table.setdefault(_number(text[end - width : end]), []).append(text)
        yield _BUILD_COST + len(text)
    tables.append((width, table))


def _told_apart(texts: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Each text, and how many of its first bytes distinguish it: one more than it has if another begins with it."""
    in_order = sorted(texts)
    before = 0
    for text, following in zip(in_order, [*in_order[1:], b""], strict=True):
        after = common(text, following)
        yield text, max(before, after) + 1
        before = after


def common(first: bytes, second: bytes) -> int:
    """The length of the common prefix."""
    length = min(len(first), len(second))
    differing = int.from_bytes(first[:length], "big") ^ int.from_bytes(second[:length], "big")
    return length - (differing.bit_length() + 7) // 8


def _number(gram: bytes) -> int:
    """A gram as :func:`_numbers` has it."""
    return memoryview(gram.ljust(_WIDEST, b"\0")).cast("Q")[0]


def _numbers(data: bytes, width: int) -> memoryview:
    """Every ``width`` consecutive bytes, as a number."""
    count = max(0, len(data) - width + 1)
    cells = bytearray(_WIDEST * count)
    for place in range(width):
        cells[place::_WIDEST] = data[place : place + count]
    return memoryview(cells).cast("Q")
