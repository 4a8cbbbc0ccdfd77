"""A rule at work: whether it fires, and what its counters stand at.

Invariants: conditions that are not met count nothing; counters are kept of at most ``COUNTERS_KEPT`` keys
a rule, those used last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from ..rule import ANY, SERVER, Rule
from .events import Reply
from .globs import Globs
from .occasion import Connections, Occasion

COUNTERS_KEPT = 10_000
_FIT_COST = 512


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

    :param chance: gives numbers from 0 to 1.
    :param globs: shared by all rules.
    """

    def __init__(self, rule: Rule, chance: Callable[[], float] | None, globs: Globs) -> None:
        self.rule = rule
        self.name = rule.name
        """What the log calls it."""
        self.fired = 0
        """How often it has fired."""
        self.reply = Reply("\r\n".join(rule.reply)) if rule.reply is not None else None
        self._match = None if rule.match is None else globs[rule.match]
        self._sender = None if rule.sender is None else globs[rule.sender]
        self.recipient = None if rule.recipient is None else globs[rule.recipient]
        self.contains = None if rule.contains is None else rule.contains.encode()
        self._chance = chance
        self._rate = _rate(rule.over_rate) if rule.over_rate is not None else None
        self._of_all = _Counter()
        """The counter of a rule that counts ``per`` server."""
        self._counters: OrderedDict[int, _Counter] | None = None

    @property
    def reads_subject(self) -> bool:
        return self._match is not None and self.is_on("message")

    @property
    def counts_recipients(self) -> bool:
        """Whether it takes longer to ask if a message has many recipients."""
        return self.recipient is not None or self.rule.per in ("recipient", "triplet")

    def is_on(self, on: str) -> bool:
        """Whether it applies to this occasion."""
        return on in self.rule.on or ANY in self.rule.on

    def fits(self, on: str, text: str, sender: str | None, may_contain: bool) -> bool:
        """Whether ``on``, ``match`` and ``sender`` are met; ``may_contain`` says whether ``contains`` can be."""
        rule = self.rule
        if not (on in rule.on or ANY in rule.on) or (self.contains is not None and not may_contain):
            return False
        match = self._match
        if match is not None and not (match.fits_path(text) if on in ("mail", "rcpt") else match.fits(text)):
            return False
        return self._sender is None or (sender is not None and self._sender.fits_path(sender))

    def cost(self, text: str, sender: str | None) -> int:
        """The cost of :meth:`fits`, in bytes searched for one text."""
        asked = ((self._match, text), (self._sender, sender))
        return _FIT_COST + sum(glob.cost(given) for glob, given in asked if glob is not None and given is not None)

    def fires(self, occasion: Occasion, clock: Callable[[], float], connections: Connections) -> bool:
        """Whether it fires on what it fits; counts it."""
        if self.contains is not None and self.contains not in occasion.message.msg_request:
            return False
        if self.recipient is not None and not any(map(self.recipient.fits_path, occasion.recipients)):
            return False
        return self.counts(occasion, clock, connections)

    def counts(self, occasion: Occasion, clock: Callable[[], float], connections: Connections) -> bool:
        """Whether it fires, given that ``contains`` and ``recipient`` are met; counts it."""
        rule = self.rule
        counter = self._of_all if rule.per == SERVER else self._counter(occasion.key(rule.per))
        if rule.over_connections is not None:
            crowd = occasion.crowd(connections, of_client=rule.per == "client")
            if crowd <= rule.over_connections:
                return False
        if self._rate is not None and not _is_over(self._rate, counter, clock()):
            return False
        counter.seen += 1
        if not self._is_due(counter):
            return False
        counter.fired += 1
        self.fired += 1
        return True

    def _is_due(self, counter: _Counter) -> bool:
        rule = self.rule
        number = counter.seen - rule.skip
        if number <= 0 or number % rule.every:
            return False
        if rule.times is not None and counter.fired >= rule.times:
            return False
        return self._chance is None or self._chance() < (rule.probability or 0)

    def _counter(self, key: int) -> _Counter:
        if self._counters is None:
            self._counters = OrderedDict()
        counters = self._counters
        counter = counters.get(key)
        if counter is None:
            counter = counters[key] = _Counter()
            if len(counters) > COUNTERS_KEPT:
                counters.popitem(last=False)
        else:
            counters.move_to_end(key)
        return counter


def _is_over(rate: tuple[int, int], counter: _Counter, now: float) -> bool:
    """Whether as many as the rate allows have passed within its time; if not, counts one more."""
    count, seconds = rate
    if counter.passed is None:
        counter.passed = deque()
    passed = counter.passed
    while passed and passed[0] <= now - seconds:
        passed.popleft()
    if len(passed) >= count:
        return True
    passed.append(now)
    return False


def _rate(text: str) -> tuple[int, int]:
    count, _, seconds = text.removesuffix("s").partition("/")
    return int(count), int(seconds)
