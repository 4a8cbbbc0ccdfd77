"""A rule at work: whether it fires, and what its counters stand at.

Invariants: conditions that are not met count nothing; counters are kept of at most ``COUNTERS_KEPT`` keys
a rule, those used last.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from fnmatch import translate

from ..rule import ANY, Rule
from .events import Reply
from .occasion import Occasion

COUNTERS_KEPT = 10_000

Connections = Callable[[int, str | None], int]
"""How many sessions are open, that of this number included; only those of a client's address, where one is given."""
Glob = Callable[[str], object]


class _Counter:
    """What one rule has seen of one key."""

    __slots__ = ("fired", "passed", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.fired = 0
        self.passed: deque[float] | None = None
        """When the last ones passed, where a rate has to be kept."""


class ActiveRule:
    """A rule with its counters.

    :param name: what the log calls it.
    :param chance: gives numbers from 0 to 1.
    """

    def __init__(self, rule: Rule, name: str, chance: Callable[[], float] | None) -> None:
        self.rule = rule
        self.name = rule.name or name
        self.fired = 0
        """How often it has fired."""
        self.reply = Reply("\r\n".join(rule.reply)) if rule.reply is not None else None
        self._match = None if rule.match is None else _glob(rule.match)
        self._sender = None if rule.sender is None else _glob(rule.sender)
        self._recipient = None if rule.recipient is None else _glob(rule.recipient)
        self.contains = None if rule.contains is None else rule.contains.encode()
        self._chance = chance
        self._rate = _rate(rule.over_rate) if rule.over_rate is not None else None
        self._counters: OrderedDict[int, _Counter] = OrderedDict()

    @property
    def reads_subject(self) -> bool:
        return self._match is not None and self._is_on("message")

    def fits(self, on: str, text: str, sender: str | None, may_contain: bool) -> bool:
        """Whether ``on``, ``match`` and ``sender`` are met; ``may_contain`` says whether ``contains`` can be."""
        if not self._is_on(on) or (self.contains is not None and not may_contain):
            return False
        if self._match is not None and not (_meets if on in ("mail", "rcpt") else _is_like)(self._match, text):
            return False
        return self._sender is None or (sender is not None and _meets(self._sender, sender))

    def fires(self, occasion: Occasion, now: float, connections: Connections) -> bool:
        """Whether it fires on what it fits; counts it."""
        if self.contains is not None and self.contains not in occasion.message.msg_request:
            return False
        if self._recipient is not None and not any(_meets(self._recipient, path) for path in occasion.recipients):
            return False
        counter = self._counter(occasion.key(self.rule.per))
        if not (self._crowd_suffices(occasion, connections) and self._rate_suffices(counter, now)):
            return False
        counter.seen += 1
        if not self._is_due(counter):
            return False
        counter.fired += 1
        self.fired += 1
        return True

    def _is_on(self, on: str) -> bool:
        return on in self.rule.on or ANY in self.rule.on

    def _crowd_suffices(self, occasion: Occasion, connections: Connections) -> bool:
        most = self.rule.over_connections
        if most is None:
            return True
        return connections(occasion.session, occasion.client if self.rule.per == "client" else None) > most

    def _rate_suffices(self, counter: _Counter, now: float) -> bool:
        if self._rate is None:
            return True
        count, seconds = self._rate
        if counter.passed is None:
            counter.passed = deque()
        passed = counter.passed
        while passed and passed[0] <= now - seconds:
            passed.popleft()
        if len(passed) >= count:
            return True
        passed.append(now)
        return False

    def _is_due(self, counter: _Counter) -> bool:
        rule = self.rule
        number = counter.seen - rule.skip
        if number <= 0 or number % rule.every:
            return False
        if rule.times is not None and counter.fired >= rule.times:
            return False
        return self._chance is None or self._chance() < (rule.probability or 0)

    def _counter(self, key: int) -> _Counter:
        counters = self._counters
        counter = counters.get(key)
        if counter is None:
            counter = counters[key] = _Counter()
            if len(counters) > COUNTERS_KEPT:
                counters.popitem(last=False)
        else:
            counters.move_to_end(key)
        return counter


def _is_like(glob: Glob, text: str) -> bool:
    return glob(text) is not None


def _meets(glob: Glob, path: str) -> bool:
    """Whether a glob fits an address, or its domain alone."""
    return _is_like(glob, path) or _is_like(glob, path.rpartition("@")[2])


def _glob(pattern: str) -> Glob:
    return re.compile(translate(pattern), re.IGNORECASE).match


def _rate(text: str) -> tuple[int, int]:
    count, _, seconds = text.removesuffix("s").partition("/")
    return int(count), int(seconds)
