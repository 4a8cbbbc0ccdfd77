"""Rules: which one decides on what a session says, and what that session does then.

Invariant: the first rule in order that fires is the only one that does; those behind it count nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from ..message import Message
from ..rule import CLOSE, CONTINUE, HANG, RESET, Rule
from .counters import ActiveRule, Connections
from .events import CONNECTION_RESET, DripDelayed, Event, Reply, ReplyDelayed, ReplyPart, RuleFired
from .occasion import Occasion, said, subject

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from .dialogue import Dialogue

_TEXTS_REMEMBERED = 256
_LONGEST_REMEMBERED = 128
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
            self.break_off(dialogue, reply)

    def break_off(self, dialogue: Dialogue, reply: Reply | None = None) -> None:
        """Have the session reply, and do to its connection what the rule says."""
        self._note(dialogue)
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
        for part in [reply] if self._rule.drip is None else drip(reply, self._rule.drip):
            dialogue.tell(part)


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
        at_work = {id(active.rule): active for active in staying}
        self.active: list[ActiveRule] = [
            at_work.get(id(rule)) or ActiveRule(rule, f"rule {number}", _chance(rule, seed, number))
            for number, rule in enumerate(rules, 1)
        ]
        texts = {active.contains for active in self.active if active.contains is not None}
        # One search for all of them, because most messages hold none.
        self._finds_any = re.compile(b"|".join(map(re.escape, sorted(texts)))).search if texts else None
        self._reads_subject = any(active.reads_subject for active in self.active)
        self.seed: int | None = seed
        self._clock = clock
        self._connections = connections
        # Tests say the same few things again and again.
        self._remembered = lru_cache(_TEXTS_REMEMBERED)(self._fitting)

    @property
    def fired(self) -> list[int]:
        """How often each has fired."""
        return [active.fired for active in self.active]

    def script(self, session: int, client: str) -> Script:
        """The rules for a session, by its number and its client's address."""
        return Script(self, session, client)

    def fitting(self, on: str, text: str, sender: str | None, body: bytes | None) -> Sequence[ActiveRule]:
        """The rules that can fire on this, by what does not change; ``body`` is a message's."""
        may_contain = body is not None and self._finds_any is not None and self._finds_any(body) is not None
        if len(text) + len(sender or "") > _LONGEST_REMEMBERED:
            return self._fitting(on, text, sender, may_contain)
        return self._remembered(on, text, sender, may_contain)

    def subject(self, body: bytes) -> str:
        """The subject of a message, read only where a rule asks."""
        return subject(body) if self._reads_subject else ""

    def first(self, fitting: Iterable[ActiveRule], occasion: Occasion) -> FiredRule | None:
        """The first that fires, if one does."""
        now = self._clock()
        for active in fitting:
            if active.fires(occasion, now, self._connections):
                return FiredRule(active, occasion.text)
        return None

    def _fitting(self, on: str, text: str, sender: str | None, may_contain: bool) -> Sequence[ActiveRule]:
        return [active for active in self.active if active.fits(on, text, sender, may_contain)]


class Script:
    """The rules as one session meets them.

    :param session: its number on the server.
    :param client: its peer's address.
    """

    __slots__ = ("_client", "_rules", "_session")

    def __init__(self, rules: Rules, session: int, client: str) -> None:
        self._rules = rules
        self._session = session
        self._client = client

    def on_connect(self, message: Message) -> FiredRule | None:
        return self._first("connect", self._client, message)

    def on_command(self, on: str, line: str, argument: str | None, message: Message) -> FiredRule | None:
        """What decides on a command; ``argument`` is its valid one."""
        text = argument if on in ("mail", "rcpt", "helo") and argument is not None else said(on, line)
        return self._first(on, text, message)

    def on_unknown(self, line: str, message: Message) -> FiredRule | None:
        """The same for what is no command here; AUTH and STARTTLS can be by a rule."""
        verb, _, argument = line.partition(" ")
        if verb.lower() in ("auth", "starttls"):
            return self._first(verb.lower(), argument, message)
        return self._first("unknown", line, message)

    def on_message(self, message: Message) -> FiredRule | None:
        """What decides on a body."""
        return self._first("message", self._rules.subject(message.msg_request), message, message.msg_request)

    def _first(self, on: str, text: str, message: Message, body: bytes | None = None) -> FiredRule | None:
        sender = text if on == "mail" else message.reverse_path if message.mailfrom else None
        fitting = self._rules.fitting(on, text, sender, body)
        if not fitting:
            return None
        return self._rules.first(fitting, Occasion(on, text, self._session, self._client, sender, message))


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
