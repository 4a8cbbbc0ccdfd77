"""Thousands of rules: those that fit are the same ones, in the same order, as where each is asked by its definition."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpmock_cli import Rule
from smtpmock_cli.rule import ANY
from smtpmock_cli.smtp.counters import ActiveRule
from smtpmock_cli.smtp.globs import Globs
from smtpmock_cli.smtp.grams import GRAM_COST, SLICE
from smtpmock_cli.smtp.index import Index, fold
from smtpmock_cli.smtp.selection import Recipients, Selection, recipient_globs

from .pacing import done, in_steps


def is_like(glob: str, text: str) -> bool:
    """The definition."""
    return re.match(translate(glob), text, re.IGNORECASE) is not None


def is_like_path(glob: str, path: str) -> bool:
    return is_like(glob, path) or is_like(glob, path.rpartition("@")[2])


def fits(rule: Rule, on: str, text: str, sender: str | None, may_contain: bool) -> bool:
    """The definition."""
    if not {on, ANY} & {*rule.on} or (rule.contains is not None and not may_contain):
        return False
    match = is_like_path if on in ("mail", "rcpt") else is_like
    if rule.match is not None and not match(rule.match, text):
        return False
    return rule.sender is None or (sender is not None and is_like_path(rule.sender, sender))


def selected(selection: Selection, *situation: object) -> list[Rule]:
    return [active.rule for active in done(selection.fitting(*situation))]  # type: ignore[arg-type]


def selection(rules: Iterable[Rule]) -> Selection:
    return Selection([ActiveRule(rule, None, Globs()) for rule in rules])


# Letters that are the same to re and to nobody else, and the other way round.
ODD = "kK\u212asS\u017fiI\u0130\u0131ßẞéÉ\u0301\u00b5\u03bcΣσς\udcff"
words = st.text("ab.@" + ODD, max_size=6)
globs = st.lists(st.one_of(words, st.sampled_from(("*", "?", "[ab]", "[!a]", "[", "]", "[!]", "[]", "@"))), max_size=4)
patterns = globs.map("".join).filter(lambda glob: glob.isprintable())
texts = st.lists(words, min_size=1, max_size=4).map("@".join)
ONS = ("mail", "rcpt", "helo", "message")
rules = st.builds(
    lambda on, match, sender, contains: Rule(
        on=on if contains is None else [*on, "message"], delay=1, match=match, sender=sender, contains=contains
    ),
    st.lists(st.sampled_from((*ONS, "any")), min_size=1, max_size=2),
    patterns,
    patterns,
    st.sampled_from(("x", "y")),
)


def without(rule: Rule, keys: Iterable[str]) -> Rule:
    return Rule(**{key: value for key, value in rule.as_dict().items() if key not in keys})


some_rules = st.lists(
    st.builds(without, rules, st.sets(st.sampled_from(("match", "sender", "contains")))), min_size=1, max_size=30
)


@settings(max_examples=300)
@given(some_rules, st.sampled_from(ONS), texts, st.none() | texts, st.booleans())
def test_the_same_rules_in_the_same_order(
    some: list[Rule], on: str, text: str, sender: str | None, may_contain: bool
) -> None:
    expected = [rule for rule in some if fits(rule, on, text, sender, may_contain)]
    assert selected(selection(some), on, text, sender, may_contain) == expected
    with in_steps():
        found = selection(some)
        assert selected(found, on, text, sender, may_contain) == expected
        assert selected(found, on, text, sender, may_contain) == expected, "the second time"


@settings(max_examples=200)
@given(st.lists(patterns, min_size=1, max_size=12), st.lists(texts, max_size=8))
def test_recipients(some: list[str], paths: list[str]) -> None:
    recipients = [ActiveRule(Rule(on="data", delay=1, recipient=glob), None, Globs()) for glob in some]
    expected = [any(is_like_path(glob, path) for path in paths) for glob in some]

    def met() -> list[bool]:
        asked, growing = recipient_globs(recipients), list[str]()
        told: list[bool] = []
        of_message = Recipients(*asked)
        for path in [None, *paths]:
            growing += [path] if path is not None else []
            told = []
            for active in recipients:
                assert active.recipient is not None
                told.append(done(of_message.meet(active.recipient, growing)))
            if of_message.is_complete:
                assert of_message.meeting(recipients) == [
                    active for active, meets in zip(recipients, told, strict=True) if meets
                ]
        return told

    assert met() == expected
    with in_steps():
        assert met() == expected


def test_each_part_that_is_looked_for_has_its_cost() -> None:
    """They share their grams, and none is there, so that each takes a search of the whole text; but only one."""
    patterns = [f"*{first}{'a' * count}*" for first in "bcdefgh" for count in range(9, 59)]
    text = "a" * 20_000
    index = Index(patterns)
    assert done(index.near("")) == {}
    costs = [*index.near(text)]
    assert len(patterns) * len(text) <= sum(costs) < 3 * len(patterns) * len(text)
    assert max(costs) < 10 * SLICE * GRAM_COST


def test_all_globs_of_a_few_characters() -> None:
    """What is a wildcard, and what only looks like one."""
    characters = "*?[]!a"
    globs = ["".join(glob) for size in range(6) for glob in itertools.product(characters, repeat=size)]
    matches = [(glob, re.compile(translate(glob), re.IGNORECASE).match) for glob in globs]
    index = Index(globs)
    for size in range(4):
        for text in map("".join, itertools.product("[]!aB", repeat=size)):
            near = {*done(index.near(text))}
            assert {glob for glob, match in matches if match(text)} <= near, text


def test_what_is_the_same_to_re_folds_to_the_same() -> None:
    """For all of Unicode: whatever has a case, and whatever re takes for something else."""
    cased = [chr(code) for code in range(0x110000) if is_cased(chr(code))]
    together = "".join(cased)
    unlike = {
        (one, other)
        for one in cased
        for other in re.findall(re.escape(one), together, re.IGNORECASE)
        if fold(one) != fold(other)
    }
    assert unlike == set()
    uncased = "".join(chr(code) for code in range(0x110000) if not is_cased(chr(code)))
    assert re.search(f"[{re.escape(together)}]", uncased, re.IGNORECASE) is None
    assert fold(together) == "".join(map(fold, cased)), "no letter's fold depends on its neighbours"
    assert [letter for letter in cased if "@" in fold(letter)] == []


def is_cased(letter: str) -> bool:
    return len({letter, letter.lower(), letter.upper(), letter.title(), letter.casefold()}) > 1


THOUSANDS = 10_000
MANY: dict[str, Callable[[int], dict[str, str]]] = {
    "literal": lambda number: {"match": f"user{number}@example.com"},
    "domain alone": lambda number: {"match": f"domain{number}.example"},
    "suffix": lambda number: {"match": f"*@domain{number}.example"},
    "prefix": lambda number: {"match": f"user{number}@*"},
    "middle": lambda number: {"match": f"*er{number}@*.example"},
    "in capitals": lambda number: {"match": f"USER{number}@*"},
    "beyond ASCII": lambda number: {"match": f"*{chr(0x4E00 + number)}*"},
    "sender": lambda number: {"sender": f"user{number}@example.com"},
    "one match, many senders": lambda number: {"match": "*.example", "sender": f"user{number}@*"},
    "many matches, one sender": lambda number: {"match": f"user{number}@*", "sender": "*.example"},
}


@pytest.mark.parametrize("kind", MANY)
def test_of_thousands_hardly_one_is_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [Rule(on="rcpt", delay=1, **MANY[kind](number)) for number in range(THOUSANDS)]
    many = selection(some)
    asked: list[ActiveRule] = []
    by_definition = ActiveRule.fits

    def counting(self: ActiveRule, on: str, text: str, sender: str | None, may_contain: bool) -> bool:
        asked.append(self)
        return by_definition(self, on, text, sender, may_contain)

    monkeypatch.setattr(ActiveRule, "fits", counting)
    for number in (0, 5, 1234, 9999, THOUSANDS):
        path = f"user{number}@domain{number}.example"
        text = f"{chr(0x4E00 + number)}@a.b" if kind == "beyond ASCII" else path
        asked.clear()
        fitting = selected(many, "rcpt", text, path, False)
        found = number < THOUSANDS and kind not in ("literal", "sender")
        assert fitting == ([some[number]] if found else []), text
        assert len(asked) <= 20
    exact = selected(many, "rcpt", "USER77@EXAMPLE.com", "user77@example.COM", False)
    assert exact == ([some[77]] if kind in ("literal", "sender", "prefix", "in capitals") else [])


def test_order_among_rules_without_globs() -> None:
    some = [Rule(on="rcpt", delay=1, **({} if number % 3 else {"match": f"{number}@*"})) for number in range(3000)]
    fitting: Sequence[Rule] = selected(selection(some), "rcpt", "1500@example.com", None, False)
    assert fitting == [rule for number, rule in enumerate(some) if number % 3 or number == 1500]
