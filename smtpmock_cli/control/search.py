"""Search: a query of Mailpit's, and whether a mail matches it.

Invariants: a query is read once, from left to right; every term counts, whatever its characters, and quoted
text is never a filter. What cannot be compared, and a filter of Mailpit's that is not offered here, is refused
and not skipped, because what a query finds may be deleted.
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

    White space separates them, except in double quotes; ``-`` or ``!`` negates. Empty ones (``""``, ``subject:``)
    do not count.

    :raises Refusal: 400, a filter is not offered, or there is nothing in a term that is compared.
    """
    return [term for word in _WORD.findall(query) if (term := _term(word)).text]


_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def _term(word: str) -> Term:
    is_negated = len(word) > 1 and word[0] in "-!"
    word = word[is_negated:]
    plain = word.replace('"', "").lower()
    field, colon, text = plain.partition(":")
    # Not: quotes removed first, because then "cc:" in quotes would be a filter, and an empty one.
    if not colon or '"' in word.partition(":")[0]:
        return Term(ANYWHERE, _compared(plain, word, is_named='"' in word), is_negated)
    if plain in STATES:
        return Term(None, STATES[plain], is_negated)
    if plain == "is:tagged" or field in _NOT_OFFERED:
        raise Refusal(400, f"the filter {field}: is not offered here")
    if field in FIELDS:
        return Term(field, _compared(text, word, is_named=True), is_negated)
    return Term(ANYWHERE, words(plain), is_negated)


def _compared(text: str, word: str, *, is_named: bool) -> str:
    """A term's text as it is compared; a lone comma or bracket is white space, unless it is asked for by name."""
    compared = words(text)
    if is_named and not compared and text.strip():
        raise Refusal(400, f"a search takes this for white space, so there is nothing to search for: {word}")
    return compared


def meets(wanted: list[Term], text: Callable[[str], str], has: Callable[[str], bool]) -> bool:
    """Whether a mail meets all conditions; where there are none, because a query names nothing, no mail does.

    :param text: gives the text of one of :data:`FIELDS`, or of :data:`ANYWHERE`, as ``words`` makes it.
    :param has: says whether a state of :data:`STATES` is given.
    """
    return bool(wanted) and all(_is_met(term, text, has) is not term.is_negated for term in wanted)


def _is_met(term: Term, text: Callable[[str], str], has: Callable[[str], bool]) -> bool:
    return has(term.text) if term.field is None else term.text in text(term.field)
