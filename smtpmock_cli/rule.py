"""Rule: one piece of scripted behaviour, when it fires and what happens then.

Invariant: a Rule never changes and never holds a wrong value; whoever reads rules from somewhere only
adds where they stood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import ConfigurationError

ANY = "any"
_COMMANDS = ("helo", "mail", "rcpt", "data", "rset", "noop", "quit", "auth", "starttls")
OCCASIONS = ("connect", *_COMMANDS, "unknown", "message", ANY)
"""What a rule can be ``on``; ``unknown`` is a line that is none of the others, ``message`` a body's end."""
SERVER = "server"
PERS = (SERVER, "session", "client", "sender", "recipient", "triplet")
"""Whom a rule's counters can count for; a triplet is client, sender and recipient."""
CONTINUE, CLOSE, RESET, HANG = "continue", "close", "reset", "hang"
THENS = (CONTINUE, CLOSE, RESET, HANG)

REPLY = r"[2-5][0-5][0-9]([ -][^\x00-\x1f\x7f]*)?"
"""One line of a reply, as a pattern (RFC 5321 section 4.2)."""
NAME = r"[^\x00-\x1f\x7f-\x9f]{1,100}"
"""A rule's name, as a pattern."""
RATE = r"[1-9][0-9]{0,4}/[1-9][0-9]{0,8}s"
"""So many in so many seconds, as a pattern."""
MOST = 10**9
RULES_LIMIT = 10_000
"""Rules that may be in force."""
LONGEST_DELAY = 86400

Check = Callable[[Any], Any]
"""Gives a value in its one form, or None where it is wrong."""


class Rule:
    """When something happens, and what then: ``Rule(on="rcpt", match="*@full.example", reply="452 Full")``.

    :param on: the occasion, or a list of them: one of ``OCCASIONS``.
    :param name: what the log calls it; ``rule N`` where not given.
    :param match: a glob, for the command's address or its domain; for HELO's argument; for what follows
        another command's word; for an unknown line; for a message's subject; for the client's address on connect.
    :param sender: a glob, for the reverse path's address or its domain.
    :param recipient: a glob, for any forward path so far, or its domain.
    :param contains: a text in the message, letter case as given.
    :param skip: how many pass before the first.
    :param times: how often it fires at the most.
    :param every: fires on each nth only.
    :param probability: from 0 to 1.
    :param over_rate: as ``"10/60s"``: where 10 have passed within the last 60 seconds.
    :param over_connections: where more sessions than these are open.
    :param per: whom the counters count for: one of ``PERS``.
    :param reply: one line, or a list of lines with one code; without it, what the server would reply.
    :param delay: seconds before the reply.
    :param drip: bytes a second at which the reply goes out.
    :param then: one of ``THENS``: ``hang`` neither replies nor closes.
    :param after_bytes: on ``data``: ``then`` happens once so many bytes of the body have come.
    :raises ConfigurationError: a key is unknown or its value wrong; the text names the key and what it takes.
    """

    on: tuple[str, ...]
    name: str
    match: str | None
    sender: str | None
    recipient: str | None
    contains: str | None
    skip: int
    times: int | None
    every: int
    probability: float | None
    over_rate: str | None
    over_connections: int | None
    per: str
    reply: tuple[str, ...] | None
    delay: float | None
    drip: float | None
    then: str
    after_bytes: int | None

    def __init__(self, **given: Any) -> None:
        for key in given:
            if key not in KEYS:
                raise ConfigurationError(f"no such key: {key}; known are {', '.join(KEYS)}")
        for key, (check, takes, default) in KEYS.items():
            value = default
            if key in given:
                value = check(given[key])
                if value is None:
                    raise ConfigurationError(f"{key} takes {takes}, not {given[key]!r}")
            self.__dict__[key] = value
        self.__dict__["_given"] = tuple(key for key in KEYS if key in given)
        wrong = self._contradiction()
        if wrong:
            raise ConfigurationError(wrong)

    @property
    def succeeds(self) -> bool:
        """Whether its reply is one of success (RFC 5321 section 4.2.1)."""
        return self.reply is not None and self.reply[0][0] in "23"

    def as_dict(self) -> dict[str, Any]:
        """The keys that were given, as JSON and TOML have them."""
        given = {key: self.__dict__[key] for key in self.__dict__["_given"]}
        return {key: _plain(value) if isinstance(value, tuple) else value for key, value in given.items()}

    def _contradiction(self) -> str:
        if not self.on:
            return f"on is missing; it takes {KEYS['on'][1]}"
        if not any(key in self.__dict__["_given"] for key in ("reply", "delay", "drip", "then")):
            return "nothing happens: give reply, delay, drip or then"
        if self.contains is not None and not {"message", ANY} & {*self.on}:
            return "contains is for on = 'message'"
        if self.after_bytes is not None and (self.on != ("data",) or self.then == CONTINUE):
            return "after_bytes is for on = 'data', with then = 'close', 'reset' or 'hang'"
        if self.then == HANG and self.reply is not None and self.after_bytes is None:
            return "then = 'hang' gives no reply: leave reply out"
        return ""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Rule does not change: make a new one to set {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return f"Rule({', '.join(f'{key}={value!r}' for key, value in self.as_dict().items())})"


def _plain(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _text(value: Any) -> str | None:
    return value if type(value) is str and _is_encodable(value) else None


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(value: Any) -> str | None:
    return _text(value) or None


def _name(value: Any) -> str | None:
    return value if _text(value) is not None and _is_name(value) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    """One or several texts, at least one."""
    values = [value] if type(value) is str else list(value) if isinstance(value, (list, tuple)) else []
    return tuple(values) if values and all(_text(text) is not None for text in values) else None


def _occasions(value: Any) -> tuple[str, ...] | None:
    values = _texts(value)
    return values if values is not None and {*values} <= {*OCCASIONS} else None


def _reply(value: Any) -> tuple[str, ...] | None:
    """A reply's lines, with the hyphens of one that has several."""
    lines = _texts(value)
    if lines is None or any(line[:3] != lines[0][:3] or _is_reply(line) is None for line in lines):
        return None
    *before, last = (line if len(line) > 3 else line + " " for line in lines)
    return (*(f"{line[:3]}-{line[4:]}" for line in before), f"{last[:3]} {last[4:]}".rstrip())


def _one_of(*texts: str) -> Check:
    return lambda value: value if type(value) is str and value in texts else None


def _count(least: int) -> Check:
    return lambda value: value if type(value) is int and least <= value <= MOST else None


def _number(most: int, *, above_zero: bool = False) -> Check:
    def check(value: Any) -> Any:
        is_in_range = type(value) in (int, float) and 0 <= value <= most and (value or not above_zero)
        return (int(value) if value == int(value) else value) if is_in_range else None

    return check


def _rate(value: Any) -> str | None:
    return value if type(value) is str and _is_rate(value) else None


_is_reply = re.compile(REPLY).fullmatch
_is_name = re.compile(NAME).fullmatch
_is_rate = re.compile(RATE).fullmatch

_COUNT = f"a whole number up to {MOST}"
KEYS: Mapping[str, tuple[Check, str, Any]] = {
    "on": (_occasions, f"one or several of {', '.join(OCCASIONS)}", ()),
    "name": (_name, "a text of up to 100 characters, none of them a control character", ""),
    "match": (_text, "a glob", None),
    "sender": (_text, "a glob", None),
    "recipient": (_text, "a glob", None),
    "contains": (_content, "a text", None),
    "skip": (_count(0), f"{_COUNT}, from 0", 0),
    "times": (_count(1), f"{_COUNT}, from 1", None),
    "every": (_count(1), f"{_COUNT}, from 1", 1),
    "probability": (_number(1), "a number from 0 to 1", None),
    "over_rate": (_rate, "a text like 10/60s: so many in so many seconds", None),
    "over_connections": (_count(0), f"{_COUNT}, from 0", None),
    "per": (_one_of(*PERS), f"one of {', '.join(PERS)}", PERS[0]),
    "reply": (_reply, "an SMTP reply as '452 Mailbox full', or a list of lines with one code", None),
    "delay": (_number(LONGEST_DELAY), f"seconds, from 0 to {LONGEST_DELAY}", None),
    "drip": (_number(MOST, above_zero=True), "bytes a second, more than 0", None),
    "then": (_one_of(*THENS), f"one of {', '.join(THENS)}", CONTINUE),
    "after_bytes": (_count(1), f"{_COUNT}, from 1", None),
}
"""For each key its check, what it takes, and its default."""


def rule(value: Any) -> Rule:
    """A rule from a mapping of its keys, or from a rule.

    :raises ConfigurationError: as :class:`Rule`.
    """
    if isinstance(value, Rule):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"a rule is a table of keys, not {value!r}")
    return Rule(**{str(key): item for key, item in value.items()})


def rules(values: Any) -> tuple[Rule, ...]:
    """Rules from a list of rules or of mappings.

    :raises ConfigurationError: one is wrong; the text says the how manieth, from 1 on. Or they are too many.
    """
    if not isinstance(values, (list, tuple)):
        raise ConfigurationError(f"rules are a list, not {values!r}")
    if len(values) > RULES_LIMIT:
        raise ConfigurationError(f"there may be {RULES_LIMIT} rules, not {len(values)}")
    made = []
    for number, value in enumerate(values, 1):
        try:
            made.append(rule(value))
        except ConfigurationError as error:
            raise ConfigurationError(f"rule {number}: {error}") from None
    return tuple(made)
