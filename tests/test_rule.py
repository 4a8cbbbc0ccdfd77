"""A rule: what its keys take, and what is told where one is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, ConfigurationError, Rule
from smtpmock_cli.flags import quote
from smtpmock_cli.rule import KEYS, OCCASIONS, PERS, THENS, rules
from smtpmock_cli.rules_file import load
from tests.helpers import PATIENCE, Daemon, configuration


@pytest.mark.parametrize("on", OCCASIONS)
def test_occasions(on: str) -> None:
    assert Rule(on=on, delay=1).on == (on,)
    assert Rule(on=[on, "mail"], delay=1).on == (on, "mail")


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ("452 Full", ("452 Full",)),
        ("250", ("250",)),
        ("250-", ("250",)),
        ("550 5.1.1 No such user é", ("550 5.1.1 No such user é",)),
        (["250 a", "250-b", "250 c"], ("250-a", "250-b", "250 c")),
        (["250-a", "250-b"], ("250-a", "250 b")),
        (["250", "250"], ("250-", "250")),
    ],
)
def test_replies(given: Any, lines: tuple[str, ...]) -> None:
    rule = Rule(on="rcpt", reply=given)
    assert rule.reply == lines
    assert rule.succeeds == (lines[0][0] == "2")


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({}, "on is missing; it takes one or several of connect, helo"),
        ({"on": "rcpt"}, "nothing happens: give reply, delay, drip or then"),
        ({"on": "rctp", "delay": 1}, "on takes one or several of connect, helo, mail, rcpt, .*, not 'rctp'"),
        ({"on": [], "delay": 1}, "on takes"),
        ({"on": ["rcpt", 1], "delay": 1}, "on takes"),
        ({"on": "rcpt", "replay": "250 Ok"}, "no such key: replay; known are on, name, match"),
        ({"on": "rcpt", "reply": "Ok"}, "reply takes an SMTP reply as .*, not 'Ok'"),
        ({"on": "rcpt", "reply": "150 Ok"}, "reply takes"),
        ({"on": "rcpt", "reply": "260 Ok"}, "reply takes"),
        ({"on": "rcpt", "reply": "250Ok"}, "reply takes"),
        ({"on": "rcpt", "reply": "250 Ok\r\n550 No"}, "reply takes"),
        ({"on": "rcpt", "reply": "250 \ud800"}, "reply takes"),
        ({"on": "rcpt", "reply": []}, "reply takes"),
        ({"on": "rcpt", "reply": ["250 a", "550 b"]}, "reply takes .* with one code"),
        ({"on": "rcpt", "reply": 250}, "reply takes"),
        ({"on": "rcpt", "delay": "1"}, "delay takes seconds, from 0 to 86400, not '1'"),
        ({"on": "rcpt", "delay": -1}, "delay takes"),
        ({"on": "rcpt", "delay": float("nan")}, "delay takes"),
        ({"on": "rcpt", "delay": True}, "delay takes"),
        ({"on": "rcpt", "drip": 0}, "drip takes bytes a second, more than 0, not 0"),
        ({"on": "rcpt", "then": "explode"}, "then takes one of continue, close, reset, hang, not 'explode'"),
        ({"on": "rcpt", "then": "hang", "reply": "250 Ok"}, "then = 'hang' gives no reply"),
        ({"on": "rcpt", "delay": 1, "times": 0}, "times takes a whole number up to 1000000000, from 1, not 0"),
        ({"on": "rcpt", "delay": 1, "times": 1.5}, "times takes"),
        ({"on": "rcpt", "delay": 1, "skip": -1}, "skip takes"),
        ({"on": "rcpt", "delay": 1, "every": 0}, "every takes"),
        ({"on": "rcpt", "delay": 1, "probability": 1.1}, "probability takes a number from 0 to 1, not 1.1"),
        ({"on": "rcpt", "delay": 1, "over_rate": "10"}, "over_rate takes a text like 10/60s"),
        ({"on": "rcpt", "delay": 1, "over_rate": "0/1s"}, "over_rate takes"),
        ({"on": "rcpt", "delay": 1, "over_connections": -1}, "over_connections takes"),
        ({"on": "rcpt", "delay": 1, "per": "day"}, "per takes one of server, session, client"),
        ({"on": "rcpt", "delay": 1, "match": 1}, "match takes a glob, not 1"),
        ({"on": "rcpt", "delay": 1, "name": ""}, "name takes"),
        ({"on": "rcpt", "delay": 1, "name": "a\nb"}, "name takes"),
        ({"on": "rcpt", "delay": 1, "contains": "x"}, "contains is for on = 'message'"),
        ({"on": "message", "delay": 1, "contains": ""}, "contains takes"),
        ({"on": "data", "delay": 1, "after_bytes": 1}, "after_bytes is for on = 'data', with then = 'close'"),
        ({"on": "rcpt", "then": "reset", "after_bytes": 1}, "after_bytes is for on = 'data'"),
    ],
)
def test_wrong_rules(keys: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{error}"):
        Rule(**keys)
    with pytest.raises(ConfigurationError, match=f"^rule 2: {error}"):
        rules([{"on": "any", "delay": 1}, keys])


def test_it_is_a_value() -> None:
    rule = Rule(on="rcpt", reply=["250-a", "250 b"], times=2)
    assert rule == Rule(reply=["250 a", "250 b"], times=2, on=["rcpt"])
    assert len({rule, Rule(**rule.as_dict())}) == 1
    assert rule != Rule(on="rcpt", reply="250 a")
    assert repr(rule) == "Rule(on='rcpt', times=2, reply=['250-a', '250 b'])"
    with pytest.raises(AttributeError):
        rule.times = 3
    assert set(Rule.__annotations__) == {*KEYS}


def test_its_documentation_names_what_it_takes() -> None:
    text = Rule.__doc__ or ""
    assert [key for key in KEYS if f":param {key}:" not in text] == []
    assert all(KEYS[key][1].endswith(", ".join(names)) for key, names in (("per", PERS), ("then", THENS)))


@pytest.mark.parametrize("value", ["rules.toml", 1, {"on": "rcpt"}, [1], ["rcpt"]])
def test_rules_are_a_list_of_rules(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"rules are a list|rule 1: a rule is a table"):
        Configuration(rules=value)


GOOD = """
[[rule]]
on = "rcpt"
match = "*@full.example"
times = 2
reply = "452 4.2.2 Mailbox full"

[[rule]]
on = ["mail", "rcpt"]
delay = 0.5
"""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(GOOD)
    expected = (
        Rule(on="rcpt", match="*@full.example", times=2, reply="452 4.2.2 Mailbox full"),
        Rule(on=["mail", "rcpt"], delay=0.5),
    )
    assert load(str(path)) == expected
    assert configuration([f"-rules={path}", "-seed=0"]) == Configuration(rules=expected, seed=0)
    assert configuration(["-rules="]) == Configuration()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "no such file or directory"),
        ("[[rule]\n", "not TOML: .*line 1"),
        ("\xff", "not TOML: .*utf-8"),
        ("a = 1\n", "no such table: a; a rule is a [[rule]]"),
        ("rule = 1\n", "rules are a list, not 1"),
        ("rule = [1]\n", "rule 1: a rule is a table of keys, not 1"),
        (GOOD + "[[rule]]\non = 'rcpt'\nreply = 'no'\n", "rule 3: reply takes an SMTP reply as '452 Mailbox full'"),
        (GOOD + "[[rule]]\non = 'rcpt'\nreply = 2024-01-01\n", "rule 3: reply takes an SMTP reply"),
        (GOOD + "[[rule]]\non = 'rcpt'\nwhen = 1\n", "rule 3: no such key: when; known are on, "),
    ],
)
def test_a_wrong_file_is_told_with_the_rule_and_the_key(tmp_path: Path, text: str | None, error: str) -> None:
    path = tmp_path / "rules.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with Daemon(f"-rules={path}") as running:
        code, out, err = running.process.wait(PATIENCE), *running.process.communicate()
    first = err.decode().splitlines()[0]
    assert (code, out) == (2, b"")
    assert first.startswith(f"invalid value {quote(str(path))} for flag -rules: ")
    assert re.search(error.replace("[", r"\["), first), first
