"""Rules from a file of any bytes: refused with a text, or a session plays by them, at once and in steps.

An input is: configuration, first cut, size of the other pieces less 8, and the file.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smtpmock_cli import Configuration, ConfigurationError, Rule
from smtpmock_cli.rule import KEYS, OCCASIONS, PERS, THENS, rules
from smtpmock_cli.rules_file import load
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.contents import Texts
from smtpmock_cli.smtp.counters import ActiveRule
from smtpmock_cli.smtp.globs import Globs
from smtpmock_cli.smtp.occasion import said
from smtpmock_cli.smtp.rules import Rules
from smtpmock_cli.smtp.selection import Selection
from tests.fuzz.conversation import check_conversation, converse, table
from tests.fuzz.pieces import cut
from tests.helpers import BODY, TRANSACTION, script
from tests.smtp.pacing import done, in_steps

LONGEST = 512
STREAM = (
    b"NOOP\r\nAUTH PLAIN AGpvZQBwdw==\r\nFOO\r\nEHLO example.com\r\nAUTH LOGIN\r\nam9l\r\ncHc=\r\n"
    + TRANSACTION
    + b"RSET\r\n"
    + TRANSACTION.replace(BODY, b"Subject: =?utf-8?q?h=C3=AB?=\r\n" + BODY)
    + b"HELO a\rb\r\nMAIL FROM:<c@d.org\rX: y\x1b> x\r\nRCPT TO:<Zo\xc3\xab@\xff.com>\r\nBDAT 4 LAST\r\na\r\n."
    + b"STARTTLS\r\nQUIT\r\n"
)
"""Something for every rule to be on."""
_SMALLEST_PIECE = 8
_IN_STEPS_EACH = 4
"""So many inputs are played in steps once, which takes three times as long."""
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"extensions": ["CHUNKING", "SIZE"], "auth_users": ["joe:pw"]},
    {"is_cmd_fail_fast": True},
)
_WITH_A_RULE = [Configuration(rules=[Rule(on="any", delay=1)], **settings) for settings in SETTINGS]
"""Tables depend on whether there are rules, not on which."""
TOKENS = (
    *(b"[[rule]]\n", b'"""', b"'", b"\n", b" = ", b"*", b"?", b"[!a-z]", b"[a", b"true", b"1e3", b"nan", b"0.5"),
    *(f"{key} = ".encode() for key in KEYS),
    *(f"'{word}'".encode() for word in (*OCCASIONS, *PERS, *THENS)),
    *(
        b"'250 ok'",
        b"['250-a', '250 b']",
        b"'10/60s'",
        b"'*@example.com'",
        b"'535'",
        b"'354 go'",
        b"'334 eA=='",
        b'"\\u0007"',
    ),
)


def check(data: bytes) -> None:
    if len(data) < 3:
        return
    read = _read(data[3:])
    if not read:
        return
    assert rules([rule.as_dict() for rule in read]) == read, "what is shown makes another rule"
    json.dumps([rule.as_dict() for rule in read], ensure_ascii=False, allow_nan=False).encode()
    number = data[0] % len(SETTINGS)
    settings = Configuration(rules=read, seed=1, **SETTINGS[number])
    rows = table(_WITH_A_RULE[number], b"")
    at_work = Rules(read, settings.seed, lambda: 0.0, lambda _number, _client: 1)
    heard = converse(cut(STREAM, data[1], _SMALLEST_PIECE + data[2]), rows, at_work.script(1, "192.0.2.1"))
    check_conversation(heard)
    told = sum(isinstance(event, events.RuleFired) for event in heard.events)
    assert told <= sum(at_work.fired) <= told + 1, (
        "a rule is told each time that it fires, but where the body is cut short"
    )
    assert heard.comparable() == converse([STREAM], rows, script(settings)).comparable(), "it depends on the cuts"
    with in_steps():
        check_selection(read, [event.line for event in heard.events if isinstance(event, events.RequestReceived)])
        check_contents([rule.contains.encode() for rule in read if rule.contains is not None], data)
        if data[1] % _IN_STEPS_EACH == 0:
            in_steps_too = converse([STREAM], rows, script(settings))
            assert heard.comparable() == in_steps_too.comparable(), "it depends on the steps"


def check_selection(read: Sequence[Rule], lines: Iterable[str]) -> None:
    """Found by what they ask for, rules are those that fit where each is asked."""
    active = [ActiveRule(rule, None, Globs()) for rule in read]
    selection = Selection(active)
    for line in lines:
        for on, text in (("unknown", line), ("mail", said("mail", line))):
            found = done(selection.fitting(on, text, text, False))
            assert found == [each for each in active if each.fits(on, text, text, False)], (on, text)


def check_contents(texts: Sequence[bytes], data: bytes) -> None:
    """What is found of many texts is what is there; the input itself is a body too."""
    for body in (data, STREAM, b"".join(texts)):
        search = Texts([*dict.fromkeys(texts)]).search(body)
        assert [done(search.holds(text)) for text in texts] == [text in body for text in texts]


def _read(content: bytes) -> tuple[Rule, ...]:
    """The rules of a file with this content; none where it is refused, which has to be with a text."""
    _file().write_bytes(content)
    try:
        return load(str(_file()))
    except ConfigurationError as error:
        complaint = str(error)
    assert complaint
    assert "\n" not in complaint
    return ()


@cache
def _file() -> Path:
    """One for all of the process: to make one each time takes longer than to read it."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name, "rules.toml")


_VALUES = {
    "on": ("'mail'", "['rcpt', 'message']", "'connect'", "'data'", "'any'", "'unknown'", "'auth'", "'starttls'"),
    "match": ("'*@example.com'", "'[!a]*'", "''", "'*\u212a*'", "'[]]?*@[a-z]*'"),
    "sender": ("'example.*'",),
    "recipient": ("'?@*'",),
    "contains": ("'Hello'",),
    "probability": ("0.5", "1"),
    "over_rate": ("'1/60s'",),
    "over_connections": ("0",),
    "per": tuple(f"'{per}'" for per in PERS),
    "reply": (
        "'451 Later'",
        "['250 a', '250 b']",
        "'354 go on'",
        "'334 eA=='",
        "'235 in'",
        '"250 \\u0007"',
        "['250 a', '550 b']",
    ),
    "delay": ("1.5", "0"),
    "drip": ("10", "1000"),
    "then": tuple(f"'{then}'" for then in THENS),
    "after_bytes": ("3",),
    "skip": ("1",),
    "times": ("1",),
    "every": ("2",),
    "name": ("'Zoë'", '"\\u009b"'),
}


def seeds() -> Iterator[bytes]:
    """Each value of each key, on each occasion, two rules a file."""
    for place, on in enumerate(_VALUES["on"]):
        for key, values in _VALUES.items():
            for number, value in enumerate(values):
                given = {"on": on, "reply": "'450 no'", key: value}
                first = "".join(f"{name} = {text}\n" for name, text in given.items())
                header = bytes([(place + number) % len(SETTINGS), number * 16, 1 + place])
                yield header + f"[[rule]]\n{first}[[rule]]\non = 'any'\ndelay = {number}\nskip = {place}\n".encode()
    for wrong in (
        b"",
        b"[[rule]]",
        b"rule = 1",
        b"[rule]",
        b"x = 1",
        b"\xff",
        b"[[rule]]\non = 1",
        b"a = " + b"[" * 500,
    ):
        yield b"\0\0\0" + wrong
