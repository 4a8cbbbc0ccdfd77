"""The mailboxes in a header field (RFC 5322 section 3.4, with section 4.4's obsolete forms), in steps.

Invariants: nothing here raises; a field is read once, from left to right, however long it is; one odd address takes
none of the others with it.

Not: ``email.utils.getaddresses``, because what it makes of an odd field depends on the version of Python (from an
empty list to an address that nobody wrote), it reads a field in one go, and deep comments exceed its stack.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .exchange import Steps
from .text import ENCODED_WORD, decoded

MOST_MAILBOXES = 10_000
"""How many of a field are looked at: as many as a message can have recipients."""
_TOKENS_A_STEP = 1000
_LONGEST_NAME = 8 * 1024
"""How many characters of a display name are decoded."""


class Address(NamedTuple):
    """A mailbox (RFC 5322 section 3.4): a display name, which may be empty, and ``local@domain``."""

    name: str
    address: str


def mailboxes(field: str) -> Steps[list[Address]]:
    """The mailboxes of an address list; the names of groups are left out, as is what is not a mailbox."""
    found: list[Address] = []
    mailbox = _Mailbox()
    at = number = 0
    while at < len(field) and len(found) < MOST_MAILBOXES:
        number += 1
        if number % _TOKENS_A_STEP == 0:
            yield
        token = (_COMMENT_TOKEN if mailbox.comment_depth else _TOKEN)(field, at)
        # A quote or a bracket that is never closed is a character like others.
        text = token[0] if token is not None else field[at]
        at += len(text)
        mailbox.take(text)
        if mailbox.is_ended:
            mailbox = _take(mailbox, found)
    _take(mailbox, found)
    return found


_TOKEN = re.compile(
    rf'\s++|{ENCODED_WORD}|"(?:[^"\\]++|\\.)*+"|\[[^\[\]\s]*+\]|(?:[^\s"\[\]()<>,;:@\\]|\\.)++|[()<>,;:@]', re.DOTALL
).match
_COMMENT_TOKEN = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL).match


class _Mailbox:
    """What has been read of one, token by token."""

    __slots__ = ("_before", "_comments", "_inside", "_is_inside", "_is_route", "comment_depth", "is_ended")

    def __init__(self) -> None:
        self._before: list[str] = []
        """The display name; or the address, where none is in angle brackets."""
        self._inside: list[str] = []
        """What is in angle brackets."""
        self._comments: list[str] = []
        self.comment_depth = 0
        self.is_ended = False
        self._is_inside = self._is_route = False

    def take(self, token: str) -> None:
        if self.comment_depth or token == "(":
            self._take_comment(token)
        elif token == "<":
            self._is_inside = True
        elif token in (">", ")"):
            self._is_inside = self._is_inside and token == ")"
        elif token in (",", ";"):
            # An obsolete route has commas between its domains.
            self.is_ended = not self._is_route
        elif token == ":":
            self._end_prefix()
        elif self._is_inside:
            self._is_route = self._is_route or (token == "@" and not self._inside)
            self._inside.append("" if token.isspace() else token)
        else:
            self._before.append(" " if token.isspace() else token)

    def _take_comment(self, token: str) -> None:
        """Comments may hold comments (section 3.2.2)."""
        self.comment_depth += {"(": 1, ")": -1}.get(token, 0)
        is_outermost = self.comment_depth == (1 if token == "(" else 0)
        self._comments.append(" " if is_outermost else token)

    def _end_prefix(self) -> None:
        """A colon: what was before it is a group's name, or a route."""
        (self._inside if self._is_inside else self._before).clear()
        self._is_route = False

    def address(self) -> str:
        return "".join(self._inside) or "".join(part for part in self._before if part != " ")

    def name(self) -> str:
        name = "".join(map(_unquoted, self._before)) if self._inside else ""
        text = name.strip() or _unescaped("".join(self._comments))
        return " ".join(decoded(text[:_LONGEST_NAME]).split())


def _take(mailbox: _Mailbox, found: list[Address]) -> _Mailbox:
    address = mailbox.address()
    local_part, _, domain = address.rpartition("@")
    if local_part and domain:
        found.append(Address(mailbox.name(), address))
    return _Mailbox()


def _unquoted(token: str) -> str:
    is_quoted = len(token) > 1 and token[0] == token[-1] == '"'
    return _unescaped(token[1:-1]) if is_quoted else token


def _unescaped(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text) if "\\" in text else text


_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
