"""Decision: finds the rule that decides, in steps, if that takes so long that other sessions would have to wait.

The work is a generator that yields the cost of each bit of it. Costs are counted and not timed, because a session has
no clock: the unit is one byte of a body searched for one text, a nanosecond or less.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from .rules import FiredRule
    from .session import Session

STEP = 1024 * 1024
"""The cost of a step, after which other sessions have their turn: about a millisecond."""
_LEAST_STEP = STEP // 8


class Pace:
    """What the decisions of one server have cost since the last pause."""

    __slots__ = ("active", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self.active = 0
        """Decisions that have started and are not made yet."""

    @property
    def step(self) -> int:
        """What may be spent before the next pause: each active decision has a step per iteration, so they share it."""
        return max(_LEAST_STEP, STEP // max(1, self.active))


class Decision:
    """A decision that is not made yet.

    :param work: yields costs; returns the rule that fires, if one does.
    """

    __slots__ = ("_pace", "_work", "fired")

    def __init__(self, work: Generator[int, None, FiredRule | None], pace: Pace) -> None:
        self._work = work
        self._pace = pace
        self.fired: FiredRule | None = None
        """The rule that fires, if one does; set once :meth:`step` has returned True."""

    def step(self) -> bool:
        """Do the next step; returns whether the decision is made."""
        pace = self._pace
        enough = pace.step
        try:
            while pace.spent < enough:
                pace.spent += next(self._work)
        except StopIteration as done:
            self.fired = done.value
            return True
        pace.spent = 0
        return False

    def decide(self, session: Session, then: Callable[..., None], *args: Any) -> None:
        """Have the session call ``then`` as :meth:`FiredRule.decide` does, once the decision is made."""
        session.wait_for(self, then, args)
