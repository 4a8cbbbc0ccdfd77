"""Queries: how they are read, and what meets them."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpmock_cli.control.exchange import Refusal
from smtpmock_cli.control.search import ANYWHERE, FIELDS, Term, meets, terms
from smtpmock_cli.control.text import words


def term(text: str, field: str | None = ANYWHERE, *, is_negated: bool = False) -> Term:
    return Term(field, text, is_negated)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("this is a test", [term("this"), term("is"), term("a"), term("test")]),
        ('"this is" a test', [term("this is"), term("a"), term("test")]),
        ('subject:"This  is" a', [term("this is", "subject"), term("a")]),
        ("FROM:A@Example.com", [term("a@example.com", "from")]),
        ("to:a cc:b bcc:c reply-to:d", [term("a", "to"), term("b", "cc"), term("c", "bcc"), term("d", "reply-to")]),
        ("message-id:<1@x> addressed:e", [term("1@x", "message-id"), term("e", "addressed")]),
        ("-from:a", [term("a", "from", is_negated=True)]),
        ('!"two words"', [term("two words", is_negated=True)]),
        ("-is:read", [term("read", None, is_negated=True)]),
        ("IS:Unread has:attachments", [term("unread", None), term("attachment", None)]),
        ("http://example.com/", [term("http://example.com/")]),
        ("is:odd", [term("is:odd")]),
        ("tag after", [term("tag"), term("after")]),
        ('subject:"never closed', [term("never closed", "subject")]),
        ('a"b c"d', [term("ab cd")]),
        ("it's", [term("it's")]),
        ("日本語 Straße", [term("日本語"), term("strasse")]),
        ('a - ! "" subject: to:, ...', [term("a")]),
    ],
)
def test_reading(query: str, expected: list[Term]) -> None:
    assert terms(query) == expected


@pytest.mark.parametrize("query", ["", " ", "-", '""', "...", "from:", "-- !!"])
def test_nothing_to_search_for(query: str) -> None:
    assert terms(query) == []
    assert not meets([], lambda _: query, lambda _: True)


@pytest.mark.parametrize(
    "query", ["tag:a", "-tag:a", "before:2024-01-01", "x after:yesterday", "larger:1M", "smaller:1k", "is:tagged"]
)
def test_filters_that_are_not_offered(query: str) -> None:
    with pytest.raises(Refusal, match="is not offered") as refusal:
        terms(query)
    assert refusal.value.status == 400


def found(query: str, states: Mapping[str, bool] | None = None) -> bool:
    texts = dict.fromkeys(FIELDS, "") | {"from": "ann ann@example.com", "subject": "welcome home", ANYWHERE: "all text"}
    return meets(terms(query), texts.__getitem__, (states or {}).__getitem__)


def test_meeting() -> None:
    assert found("from:ANN subject:come")
    assert found('subject:"welcome HOME" "l t"')
    assert not found("from:ann subject:bob")
    assert not found("to:ann")
    assert found("-to:ann !bob")
    assert not found("-from:ann")
    assert found("is:read", {"read": True})
    assert not found("-is:read", {"read": True})


@given(st.text(max_size=50))
def test_any_query(query: str) -> None:
    try:
        wanted = terms(query)
    except Refusal:
        return
    assert all(one.text for one in wanted)


@given(st.text('abc:"-! \t', max_size=30))
def test_a_quoted_word_is_found_in_a_text_that_has_it(text: str) -> None:
    plain = words(text)
    if any(map(str.isalnum, plain)) and plain[0] not in "-!":
        assert meets(terms(f'"{plain}"'), lambda _: words(f"before {text} after"), lambda _: False)


@pytest.mark.parametrize("unit", ['"', 'a"', ' "', "a ", '"a" ', "-", ":", "from:"])
def test_a_long_query_takes_no_time(unit: str) -> None:
    started = time.perf_counter()
    try:
        terms(unit * (256 * 1024 // len(unit)) + "a")
    finally:
        assert time.perf_counter() - started < 10
