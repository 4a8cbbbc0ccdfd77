"""Search: a query of Mailpit's, and whether a mail meets it.

Invariant: a query is read once, from left to right; a filter of Mailpit's that is not offered here is
refused, never taken for a text, because what a query finds may be deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .exchange import Refusal
from .text import words

FIELDS = ("from", "to", "cc", "bcc", "reply-to", "addressed", "subject", "message-id")
"""The filters for one field."""
STATES = {
    "is:read": "read",
    "is:unread": "unread",
    "has:attachment": "attachment",
    "has:attachments": "attachment",
    "has:inline": "inline",
    "has:inlines": "inline",
}
"""The filters for what a mail is or has."""
_NOT_OFFERED = ("tag", "before", "after", "larger", "smaller")

ANYWHERE = ""
"""The name of the text that is searched where no field is named."""


class Term(NamedTuple):
    """One condition: ``text`` stands in the field; or, without a field, the state of this name is given."""

    field: str | None
    text: str
    is_negated: bool


def terms(query: str) -> list[Term]:
    """The conditions of a query, all of which have to be met.

    White space is between them, except in double quotes; ``-`` or ``!`` negates.

    :raises Refusal: 400, a filter is not offered.
    """
    found = [_term(word.replace('"', "")) for word in _WORD.findall(query)]
    return [term for term in found if any(map(str.isalnum, term.text))]


_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def _term(word: str) -> Term:
    is_negated = len(word) > 1 and word[0] in "-!"
    word = word[is_negated:].lower()
    if word in STATES:
        return Term(None, STATES[word], is_negated)
    field, colon, text = word.partition(":")
    if word == "is:tagged" or (colon and field in _NOT_OFFERED):
        raise Refusal(400, f"the filter {field}: is not offered here")
    if colon and field in FIELDS:
        return Term(field, words(text), is_negated)
    return Term(ANYWHERE, words(word), is_negated)


def meets(wanted: list[Term], text: Callable[[str], str], has: Callable[[str], bool]) -> bool:
    """Whether a mail meets all conditions; where there are none, because a query names nothing, no mail does.

    :param text: gives the text of one of :data:`FIELDS`, or of :data:`ANYWHERE`, as ``words`` makes it.
    :param has: says whether a state of :data:`STATES` is given.
    """
    return bool(wanted) and all(_is_met(term, text, has) is not term.is_negated for term in wanted)


def _is_met(term: Term, text: Callable[[str], str], has: Callable[[str], bool]) -> bool:
    return has(term.text) if term.field is None else term.text in text(term.field)
