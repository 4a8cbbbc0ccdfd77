"""Selection: which of thousands of rules fit, found without asking each; and which globs fit a message's recipients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from .counters import ActiveRule
from .globs import Glob
from .grams import shared
from .index import Index

_TOGETHER = 64
"""Rules to look at without a pause."""
_PLACE_COST = 1024
"""The cost of looking at one rule, in bytes searched for one text; and of sorting it."""
_SORT_COST = 128
_FEW = 8
"""Up to this many different globs for recipients are matched one by one."""
_ASKED_TOGETHER = 8
"""Recipients to match one glob against without a pause."""
_Placed = tuple[int, ActiveRule]
"""A rule and its place among all."""


class Selection:
    """Rules by their globs."""

    def __init__(self, rules: Sequence[ActiveRule]) -> None:
        self._bare: list[_Placed] = []
        self._bare_on: dict[tuple[str, bool], tuple[list[_Placed], list[ActiveRule]]] = {}
        self._by_match: dict[str, list[_Placed]] = {}
        self._by_sender: dict[str, list[_Placed]] = {}
        self._matches, self._senders = Index(self._by_match), Index(self._by_sender)
        # Not: a method, as in Grams.
        self._preparing = _prepare(rules, self._by_match, self._by_sender, self._bare)

    def fitting(
        self, on: str, text: str, sender: str | None, may_contain: bool
    ) -> Generator[int, None, list[ActiveRule]]:
        """The rules for which :meth:`ActiveRule.fits` is true, in order; yields the costs of its steps."""
        yield from shared(self._preparing)
        placed, bare = yield from self._fitting_bare(on, may_contain)
        near = yield from _near(on, text, self._matches, self._by_match)
        if sender is not None:
            near += yield from _near(on, sender, self._senders, self._by_sender)
        fitting = []
        for rule in near:
            yield rule[1].cost(text, sender)
            if rule[1].fits(on, text, sender, may_contain):
                fitting.append(rule)
        if not fitting:
            return bare
        yield _SORT_COST * (len(placed) + len(fitting))
        return [active for _, active in sorted([*placed, *fitting])]

    def _fitting_bare(self, on: str, may_contain: bool) -> Generator[int, None, tuple[list[_Placed], list[ActiveRule]]]:
        """Those of the rules without globs, with their places and without."""
        if (on, may_contain) not in self._bare_on:
            placed: list[_Placed] = []
            for at in range(0, len(self._bare), _TOGETHER):
                some = self._bare[at : at + _TOGETHER]
                placed += [rule for rule in some if rule[1].fits(on, "", None, may_contain)]
                yield _PLACE_COST * _TOGETHER
            self._bare_on[on, may_contain] = placed, [active for _, active in placed]
        return self._bare_on[on, may_contain]


def _prepare(
    rules: Sequence[ActiveRule],
    by_match: dict[str, list[_Placed]],
    by_sender: dict[str, list[_Placed]],
    bare: list[_Placed],
) -> Iterator[int]:
    matches: dict[str | None, int] = defaultdict(int)
    senders: dict[str | None, int] = defaultdict(int)
    for number, active in enumerate(rules):
        matches[active.rule.match] += 1
        senders[active.rule.sender] += 1
        if not number % _TOGETHER:
            yield _PLACE_COST * _TOGETHER
    for placed in enumerate(rules):
        match, sender = placed[1].rule.match, placed[1].rule.sender
        if match is not None and (sender is None or matches[match] <= senders[sender]):
            by_match.setdefault(match, []).append(placed)
        elif sender is not None:
            by_sender.setdefault(sender, []).append(placed)
        else:
            bare.append(placed)
        if not placed[0] % _TOGETHER:
            yield _PLACE_COST * _TOGETHER


def _near(
    on: str, text: str, index: Index, by_glob: Mapping[str, list[_Placed]]
) -> Generator[int, None, list[_Placed]]:
    """The rules that may fit by one of their globs."""
    near = []
    for glob in (yield from index.near(text)):
        rules = by_glob[glob]
        for at in range(0, len(rules), _TOGETHER):
            some = rules[at : at + _TOGETHER]
            near += [rule for rule in some if rule[1].is_on(on)]
            yield _PLACE_COST * len(some)
    return near


def recipient_globs(rules: Iterable[ActiveRule]) -> tuple[Mapping[str, Glob], Index | None]:
    """The rules' globs for recipients by pattern, and an index of them if there are many."""
    globs = {active.recipient.pattern: active.recipient for active in rules if active.recipient is not None}
    return globs, Index(globs) if len(globs) > _FEW else None


class Recipients:
    """Which of the rules' globs fit one of a message's recipients, found out no further than a rule asks.

    :param globs: by pattern.
    """

    def __init__(self, globs: Mapping[str, Glob], index: Index | None) -> None:
        self._globs = globs
        self._index = index
        self._paths: Sequence[str] = ()
        self._asked: dict[str, int] = {}
        self._met: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether the result for every glob is known."""
        return self._index is not None and self._asked.get("", 0) == len(self._paths)

    def meet(self, glob: Glob, paths: Sequence[str]) -> Generator[int, None, bool]:
        """Whether a glob fits one of the paths; yields the costs of its steps.

        Results are kept for the next call with the same list, which may have grown.
        """
        if paths is not self._paths:
            self._paths, self._asked, self._met = paths, {}, set()
        # With an index, all globs are matched together, so there is one position for all of them.
        key = glob.pattern if self._index is None else ""
        while glob.pattern not in self._met and (at := self._asked.get(key, 0)) < len(paths):
            some = paths[at : at + _ASKED_TOGETHER]
            if self._index is not None:
                yield from self._ask_all(self._index, some)
            else:
                yield sum(map(glob.cost, some))
                if any(map(glob.fits_path, some)):
                    self._met.add(glob.pattern)
            self._asked[key] = at + len(some)
        return glob.pattern in self._met

    def meeting(self, rules: Iterable[ActiveRule]) -> list[ActiveRule]:
        """The rules whose globs fit one of the paths, or which have none; once :attr:`is_complete`."""
        met = self._met
        return [active for active in rules if active.recipient is None or active.recipient.pattern in met]

    def _ask_all(self, index: Index, paths: Sequence[str]) -> Iterator[int]:
        for path in paths:
            for near in (yield from index.near(path)):
                if near not in self._met:
                    glob = self._globs[near]
                    yield glob.cost(path)
                    if glob.fits_path(path):
                        self._met.add(near)
