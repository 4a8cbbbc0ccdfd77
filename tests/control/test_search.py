"""Queries: how they are read, and what meets them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpmock_cli import Server
from smtpmock_cli.control.exchange import Refusal
from smtpmock_cli.control.search import ANYWHERE, FIELDS, Term, meets, terms
from smtpmock_cli.control.text import words
from tests.control.web import ask, send_mail


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
        ('a "" subject: , ( -; "\t"', [term("a")]),
        ("a - ! ...", [term("a"), term("-"), term("!"), term("...")]),
        ("subject:🎉 € -!!!", [term("🎉", "subject"), term("€"), term("!!!", is_negated=True)]),
        ('"cc:" "is:read" "tag:x" "-a" "a:b"', [term("cc:"), term("is:read"), term("tag:x"), term("-a"), term("a:b")]),
        ('-"!a" "from":a', [term("!a", is_negated=True), term("from:a")]),
        ('is:"read" cc:"to:a"', [term("read", None), term("to:a", "cc")]),
    ],
)
def test_reading(query: str, expected: list[Term]) -> None:
    assert terms(query) == expected


@pytest.mark.parametrize("query", ["", " ", '""', "from:", '-"" subject:" "', ", ;", "-()"])
def test_nothing_to_search_for(query: str) -> None:
    assert terms(query) == []
    assert not meets([], lambda _: query, lambda _: True)


@pytest.mark.parametrize(
    "query",
    ["tag:a", "-tag:a", 'tag:"a"', "before:2024-01-01", "x after:yesterday", "larger:1M", "smaller:1k", "is:tagged"],
)
def test_filters_that_are_not_offered(query: str) -> None:
    with pytest.raises(Refusal, match="is not offered") as refusal:
        terms(query)
    assert refusal.value.status == 400


@pytest.mark.parametrize("query", ["subject:,", '"()"', '-to:"<>"', 'from:ann ";"'])
def test_what_is_not_compared_is_refused_where_it_is_asked_for(query: str) -> None:
    """Else it would vanish, and a delete would take what the other terms find."""
    with pytest.raises(Refusal, match="nothing to search for") as refusal:
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


@pytest.mark.parametrize("text", ["cc:", "is:read", "tag:a", "-a", "!a", "!!!", "🎉", "€", "...", "a:", ":"])
def test_quoted_it_is_text(text: str) -> None:
    def has(query: str, subject: str) -> bool:
        return meets(terms(query), lambda _: words(subject), lambda _: False)

    assert has(f'"{text}"', f"before {text} after")
    assert has(f'subject:"{text}"', text)
    assert not has(f'"{text}"', "other")
    assert not has(f'before "{text}"', "before")
    assert has(f'before -"{text}"', "before")


def ids(server: Server) -> list[int]:
    return [message.id for message in server.messages()]


@pytest.mark.parametrize("query", ["subject:🎉", '"cc:"', "€", '"!!!"', "one 🎉", 'one "is:unread"', 'subject: -""'])
def test_a_delete_takes_only_what_has_every_term(server: Server, query: str) -> None:
    send_mail(server, "one")
    assert ask(server, f"/api/v1/search?query={quote(query)}").json["count"] == 0
    assert ask(server, f"/api/v1/search?query={quote(query)}", "DELETE").status == 200
    assert ids(server) == [1]


def test_a_delete_takes_what_has_the_term(server: Server) -> None:
    for subject in ("Party 🎉", "Price in €", "cc: you", "plain"):
        send_mail(server, subject)
    for query, left in (("subject:🎉", [2, 3, 4]), ("€", [3, 4]), ('"cc:"', [4])):
        assert ask(server, f"/api/v1/search?query={quote(query)}", "DELETE").status == 200
        assert ids(server) == left


@pytest.mark.parametrize("query", ['""', "subject:", 'from: "" -cc:'])
def test_empty_terms_alone_find_nothing(server: Server, query: str) -> None:
    send_mail(server, "one")
    assert ask(server, f"/api/v1/search?query={quote(query)}").json["count"] == 0
    assert ask(server, "/api/v1/messages", "PUT", {"Search": query, "Read": True}).status == 200
    assert ask(server, "/api/v1/search?query=is:read").json["count"] == 0
    assert ask(server, f"/api/v1/search?query={quote(query)}", "DELETE").status == 200
    assert ids(server) == [1]


@given(st.text(max_size=50))
def test_any_query(query: str) -> None:
    try:
        wanted = terms(query)
    except Refusal:
        return
    assert all(one.text for one in wanted)


@given(st.text('abc:"-!.🎉 \t', max_size=30))
@example("cc:")
@example("-🎉")
def test_a_quoted_word_is_found_in_a_text_that_has_it(text: str) -> None:
    plain = words(text)
    if plain:
        assert meets(terms(f'"{plain}"'), lambda _: words(f"before {text} after"), lambda _: False)


@pytest.mark.parametrize("unit", ['"', 'a"', ' "', "a ", '"a" ', "-", ":", "from:"])
def test_a_long_query_takes_no_time(unit: str) -> None:
    started = time.perf_counter()
    try:
        terms(unit * (256 * 1024 // len(unit)) + "a")
    finally:
        assert time.perf_counter() - started < 10
