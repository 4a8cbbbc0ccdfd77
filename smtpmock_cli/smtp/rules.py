"""Rules: which one decides on what a session says, and what that session does then.

Invariant: the first rule in order that fires is the only one that does; those behind it count nothing.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import lru_cache, partial

from ..message import Message
from ..rule import CLOSE, CONTINUE, HANG, RESET, Rule
from .counters import ActiveRule
from .decision import STEP, Decision, Pace
from .events import CONNECTION_RESET, DripDelayed, Event, Reply, ReplyDelayed, ReplyPart, RuleFired
from .globs import Globs, cost_of_character
from .occasion import Connections, Occasion, said, subject

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from .contents import Search, Texts
    from .dialogue import Dialogue
    from .globs import Glob
    from .index import Index
    from .selection import Recipients, Selection
    from .session import Session

_FEW = 64
"""Up to this many rules are asked one by one whether they fit."""
_RULE_COST = 1024
"""The cost of asking one rule whether it fires, in bytes searched for one text."""
_LEAST_YIELDED = 16 * 1024
"""The cost of the rules to ask without a pause."""
_TEXTS_REMEMBERED = 256
_LONGEST_REMEMBERED = 128
_MOST_REMEMBERED = 256
_DRIPS_A_SECOND = 50


class FiredRule:
    """A rule that has fired: what happens now.

    :param text: what the command said, for the record.
    """

    __slots__ = ("_active", "_is_noted", "_rule", "after_bytes", "text")

    def __init__(self, active: ActiveRule, text: str) -> None:
        self._active = active
        self._rule = active.rule
        self._is_noted = False
        self.text = text
        self.after_bytes = active.rule.after_bytes or 0
        """How much of a body comes before the session is broken off; 0 where that is for now."""

    @property
    def wants_body(self) -> bool:
        """Whether a body follows its reply to DATA (RFC 5321 section 4.3.2)."""
        return self._active.reply is None or self._active.reply.line[0] == "3"

    def decide(self, session: Session, then: Callable[..., None], *args: Any) -> None:
        """Call ``then`` with the session, the rule that fires (None if none does) and ``args``."""
        then(session, self, *args)

    def answer(self, reply: Reply, succeeded: bool) -> tuple[Reply | None, bool]:
        """Its reply and whether that is one of success, given what they would be; None is no reply."""
        if self._active.reply is not None:
            return self._active.reply, self._rule.succeeds
        return (reply, succeeded) if self._rule.then == CONTINUE or self.after_bytes else (None, False)

    def follow(
        self, dialogue: Dialogue, reply: Reply | None, succeeded: bool, delay: float = 0, *, is_last: bool = False
    ) -> None:
        """Have the session reply, after the rule's delay, and do what the rule says.

        :param delay: seconds, where the rule says none.
        :param is_last: whether the session ends with a reply of success.
        """
        self._note(dialogue)
        delay = delay if self._rule.delay is None else self._rule.delay
        if delay:
            dialogue.tell(ReplyDelayed(delay))
        if (is_last if succeeded else dialogue.table.fail_fast) and self._rule.then != HANG:
            dialogue.end()
        if self.after_bytes:
            self._reply(dialogue, reply)
        else:
            self._break_off(dialogue, reply)

    def break_off(self, dialogue: Dialogue) -> None:
        """Do to the session's connection what the rule says."""
        self._note(dialogue)
        self._break_off(dialogue, None)

    def _break_off(self, dialogue: Dialogue, reply: Reply | None) -> None:
        if self._rule.then == HANG:
            dialogue.hang()
            return
        if self._rule.then in (CLOSE, RESET):
            dialogue.end()
        self._reply(dialogue, reply)
        if self._rule.then == RESET:
            dialogue.tell(CONNECTION_RESET)

    def _note(self, dialogue: Dialogue) -> None:
        """Tell that it has fired, once."""
        if self._is_noted:
            return
        self._is_noted = True
        name = self._active.name
        dialogue.tell(RuleFired(name))
        if name not in dialogue.message.rules:
            dialogue.message.rules.append(name)

    def _reply(self, dialogue: Dialogue, reply: Reply | None) -> None:
        """Drop by drop, or at once."""
        if reply is None:
            return
        if self._rule.drip is None:
            dialogue.tell(reply)
            return
        for part in drip(reply, self._rule.drip):
            dialogue.tell(part)


Decided = FiredRule | Decision | None
"""The rule that decides, if one does; or what finds it."""
_Situation = tuple[str, str, str | None, bool]
"""The occasion, its text, the sender, and whether a message may hold a text that rules look for."""


class Rules:
    """All rules of a server, in order.

    :param seed: makes every run with it the same; None for another each time.
    :param clock: gives seconds that never go back.
    :param before: rules that were at work until now; one that stays goes on counting, if the seed stays.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        seed: int | None,
        clock: Callable[[], float],
        connections: Connections,
        before: Rules | None = None,
    ) -> None:
        staying = before.active if before is not None and before.seed == seed else []
        self.active: list[ActiveRule] = _active(rules, seed, staying)
        self.texts: Texts | None
        self._selection: Selection | None
        self._recipient_globs: tuple[Mapping[str, Glob], Index | None] | None
        self.prepare_again()
        self.counts_recipients = any(active.counts_recipients for active in self.active)
        self._reads_subject = any(active.reads_subject for active in self.active)
        self.seed: int | None = seed
        self.clock = clock
        self.connections = connections
        self.pace = Pace()
        self._are_few = len(self.active) <= _FEW
        self._longest_at_once = _longest_at_once(self.active) if self._are_few else 0
        """The longest text, in characters, about which a few rules are asked without a pause."""
        self._found: dict[_Situation, Sequence[ActiveRule]] = {}
        # Tests say the same few things again and again. Not: a method, because rules in a cycle are freed late.
        self._asked = lru_cache(_TEXTS_REMEMBERED)(partial(_asked, self.active))

    def prepare_again(self) -> None:
        """Find out again what rules are looked up by, because what failed halfway would leave rules out."""
        self.texts = _texts(self.active)
        self._selection = self._recipient_globs = None

    @property
    def fired(self) -> list[int]:
        """How often each has fired."""
        return [active.fired for active in self.active]

    def script(self, session: int, client: str) -> Script:
        """The rules for a session, by its number and its client's address."""
        return Script(self, session, client)

    def are(self, rules: Sequence[Rule], seed: int | None) -> bool:
        """Whether these are the same rules with the same seed."""
        ours = [active.rule for active in self.active]
        return self.seed == seed and len(ours) == len(rules) and all(map(operator.is_, ours, rules))

    def recipients(self) -> Recipients:
        """Matches the rules' globs for recipients against those of one message."""
        from .selection import Recipients, recipient_globs  # only here: few rules need it

        if self._recipient_globs is None:
            self._recipient_globs = recipient_globs(self.active)
        return Recipients(*self._recipient_globs)

    def fitting(self, on: str, text: str, sender: str | None, may_contain: bool) -> Sequence[ActiveRule] | None:
        """The rules that can fire, by what does not change; None if finding them takes steps."""
        length = len(text) + len(sender or "")
        if length > _LONGEST_REMEMBERED:
            is_quick = length <= self._longest_at_once
            return _asked(self.active, on, text, sender, may_contain) if is_quick else None
        if self._are_few:
            return self._asked(on, text, sender, may_contain)
        return self._found.get((on, text, sender, may_contain))

    def find(self, situation: _Situation) -> Generator[int, None, Sequence[ActiveRule]]:
        """The same, in steps that yield their costs."""
        if self._selection is None:
            from .selection import Selection  # only here: few servers have so many rules

            self._selection = Selection(self.active)
        fitting = yield from self._selection.fitting(*situation)
        _, text, sender, _ = situation
        if len(text) + len(sender or "") <= _LONGEST_REMEMBERED and len(fitting) <= _MOST_REMEMBERED:
            if len(self._found) >= _TEXTS_REMEMBERED:
                del self._found[next(iter(self._found))]
            self._found[situation] = fitting
        return fitting

    def subject(self, body: bytes) -> str:
        """The subject of a message, read only where a rule asks."""
        return subject(body) if self._reads_subject else ""

    def first(self, fitting: Iterable[ActiveRule], occasion: Occasion) -> FiredRule | None:
        """The first that fires, if one does."""
        for active in fitting:
            if active.fires(occasion, self.clock, self.connections):
                return FiredRule(active, occasion.text)
        return None


class Script:
    """The rules as one session meets them.

    :param session: its number on the server.
    :param client: its peer's address.
    """

    __slots__ = ("_client", "_recipients", "_rules", "_session")

    def __init__(self, rules: Rules, session: int, client: str) -> None:
        self._rules = rules
        self._session = session
        self._client = client
        self._recipients: Recipients | None = None

    def on_connect(self, message: Message) -> Decided:
        return self._first("connect", self._client, message)

    def on_command(self, on: str, line: str, argument: str | None, message: Message) -> Decided:
        """What decides on a command; ``argument`` is its valid one."""
        text = argument if on in ("mail", "rcpt", "helo") and argument is not None else said(on, line)
        return self._first(on, text, message)

    def on_unknown(self, line: str, message: Message) -> Decided:
        """The same for what is no command here; AUTH and STARTTLS can be by a rule."""
        verb, _, argument = line.partition(" ")
        if verb.lower() in ("auth", "starttls"):
            return self._first(verb.lower(), argument, message)
        return self._first("unknown", line, message)

    def on_message(self, message: Message) -> Decided:
        """What decides on a body."""
        return self._first("message", self._rules.subject(message.msg_request), message, message.msg_request)

    def _first(self, on: str, text: str, message: Message, body: bytes | None = None) -> Decided:
        rules = self._rules
        sender = text if on == "mail" else message.reverse_path if message.mailfrom else None
        may_contain = body is not None and rules.texts is not None and rules.texts.may_be_in(body)
        fitting = rules.fitting(on, text, sender, may_contain)
        if not fitting and fitting is not None:
            return None
        occasion = Occasion(on, text, self._session, self._client, sender, message)
        if fitting is not None:
            weight = _RULE_COST
            if may_contain:
                weight += len(message.msg_request)
            if rules.counts_recipients and on != "rcpt":
                weight += _RULE_COST * len(message.forward_paths)
            rules.pace.spent += len(fitting) * weight
            if rules.pace.spent < STEP:
                return rules.first(fitting, occasion)
        situation = on, text, sender, may_contain
        decision = Decision(self._in_steps(situation, fitting, occasion, body), rules.pace)
        return decision.fired if decision.step() else decision

    def _in_steps(
        self, situation: _Situation, fitting: Sequence[ActiveRule] | None, occasion: Occasion, body: bytes | None
    ) -> Generator[int, None, FiredRule | None]:
        """The same, in steps that yield their costs."""
        rules = self._rules
        rules.pace.active += 1
        try:
            if fitting is None:
                fitting = yield from rules.find(situation)
            search = rules.texts.search(body or b"") if rules.texts is not None else None
            return (yield from self._first_in_steps(fitting, occasion, search))
        except Exception:
            self._recipients = None
            rules.prepare_again()
            raise
        finally:
            rules.pace.active -= 1

    def _first_in_steps(
        self, fitting: Sequence[ActiveRule], occasion: Occasion, search: Search | None
    ) -> Generator[int, None, FiredRule | None]:
        """As :meth:`Rules.first`; what a rule needs to know of body and recipients is found out when its turn comes."""
        rules, paths, cost = self._rules, occasion.recipients, 0
        rest, at, all_hold, all_meet = fitting, 0, search is None, False
        while at < len(rest):
            active = rest[at]
            at += 1
            cost += _RULE_COST
            if cost >= _LEAST_YIELDED:
                yield cost
                cost = 0
            if active.contains is not None and search is not None and not all_hold:
                holds = yield from search.holds(active.contains)
                if search.is_complete:
                    rest, at, all_hold = search.holding(rest[at:]), 0, True
                if not holds:
                    continue
            if active.recipient is not None and not all_meet:
                recipients = self._recipients = self._recipients or rules.recipients()
                meets = yield from recipients.meet(active.recipient, paths)
                if recipients.is_complete:
                    rest, at, all_meet = recipients.meeting(rest[at:]), 0, True
                if not meets:
                    continue
            if active.counts(occasion, rules.clock, rules.connections):
                return FiredRule(active, occasion.text)
        return None


def _active(rules: Sequence[Rule], seed: int | None, staying: Iterable[ActiveRule]) -> list[ActiveRule]:
    """The rules with their counters, which those that stay keep; one that is there twice has counters for each."""
    kept: dict[int, deque[ActiveRule]] = {}
    for active in staying:
        kept.setdefault(id(active.rule), deque()).append(active)
    globs, made = Globs(), []
    for number, rule in enumerate(rules, 1):
        same = kept.get(id(rule))
        active = same.popleft() if same else ActiveRule(rule, _chance(rule, seed, number), globs)
        active.name = rule.name or f"rule {number}"
        made.append(active)
    return made


def _texts(rules: Iterable[ActiveRule]) -> Texts | None:
    """The texts that they look for in messages, if any."""
    texts = {active.contains: None for active in rules if active.contains is not None}
    if not texts:
        return None
    from .contents import Texts  # only here: few rules do

    return Texts(texts)


def _longest_at_once(rules: Iterable[ActiveRule]) -> int:
    """The length of a text that all their globs can be matched with in one step."""
    patterns = [pattern or "" for active in rules for pattern in (active.rule.match, active.rule.sender)]
    return STEP // cost_of_character(sum(map(len, patterns)))


def _asked(
    rules: Sequence[ActiveRule], on: str, text: str, sender: str | None, may_contain: bool
) -> Sequence[ActiveRule]:
    return [active for active in rules if active.fits(on, text, sender, may_contain)]


def drip(reply: Reply, rate: float) -> list[Event]:
    """A reply in parts, so many bytes a second."""
    size = max(1, int(rate / _DRIPS_A_SECOND))
    *parts, last = (reply.wire[at : at + size] for at in range(0, len(reply.wire), size))
    dripped: list[Event] = []
    for part in parts:
        dripped += [ReplyPart(part), DripDelayed(len(part) / rate)]
    return [*dripped, Reply(reply.line, last)]


def _chance(rule: Rule, seed: int | None, number: int) -> Callable[[], float] | None:
    if rule.probability is None:
        return None
    from .chance import generator  # only here: few rules have a probability

    return generator(seed, f"rule {number}").random
