"""A search's query: no term vanishes, and more terms never find more, because what is found may be deleted.

An input is a query in UTF-8, and behind a line feed a second one.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpmock_cli.control.exchange import Refusal
from smtpmock_cli.control.search import FIELDS, STATES, Term, meets, terms
from smtpmock_cli.control.steps import finish
from smtpmock_cli.control.summary import Summary, read_summary
from smtpmock_cli.message import Message
from tests.control.mails import accepted, letter

LONGEST = 256
_MAILS = [
    accepted(letter("Hello, €uro!!! 🎉\n", Subject="hi 🎉", From="Ann <ann@example.com>", To="bob@example.com")),
    accepted(letter("cc: is:read -x subject:\n", Subject="", Cc='"cc:" <c@d.example>'), id=2),
    accepted(b"", id=3),
]
_SUMMARIES: list[tuple[Message, Summary]] = [(mail, finish(read_summary(mail))) for mail in _MAILS]


def check(data: bytes) -> None:
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    found = _terms(first)
    if found is None:
        return
    _check_terms(first, found)
    more = _terms(f"{first} {second}")
    if more and found and first.count('"') % 2 == 0:
        assert _found(more) <= _found(found), "another condition found more"


def _terms(query: str) -> list[Term] | None:
    try:
        return terms(query)
    except Refusal:
        return None


def _check_terms(query: str, found: list[Term]) -> None:
    """A word that says something is a condition, and a text in quotes is never more than that text."""
    words = [word for word in _words(query) if any(map(str.isalnum, word))]
    assert len(found) >= len([word for word in words if not word.endswith(":")]), query
    for term in found:
        assert term.text
        assert term.field in (*FIELDS, "", None)
        assert term.field is not None or term.text in STATES.values()
    if query[:1] == query[-1:] == '"' and query.count('"') == 2:
        assert all(term.field == "" for term in found)


def _words(query: str) -> list[str]:
    """The words that stand by themselves: none in quotes, and none with any."""
    outside = " ".join(query.split('"')[::2]) if query.count('"') % 2 == 0 else ""
    return [] if '"' in query else outside.split()


def _found(wanted: list[Term]) -> set[int]:
    found = set()
    for mail, summary in _SUMMARIES:
        texts = {term.field: finish(summary.text(mail, term.field)) for term in wanted if term.field is not None}
        if meets(wanted, texts.__getitem__, lambda _: mail.id == 1):  # noqa: B023 - called before the next mail
            found.add(mail.id)
    return found


_WORDS = ("🎉", "€", "hi", "ann", "!!!", "()", "<", ",", "-", "!", ":", '"', " ", "\t", "\n")
_FILTERS = ("subject:", "from:", "to:", "cc:", "is:read", "is:tagged", "has:attachment", "tag:", "before:")
TOKENS = (*(token.encode() for token in (*_WORDS, *_FILTERS)), b"\xff")
QUERIES = ("hi", "subject:🎉 from:ann", '"cc:"', '"!!!"', "€", 'subject:"a b" -to:x', "is:unread", '""', "-", '"')


def seeds() -> Iterator[bytes]:
    for query in QUERIES:
        yield query.encode()
        yield f"{query}\nfrom:ann".encode()
