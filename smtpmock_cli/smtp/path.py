"""Paths and their parameters as RFC 5321 has them (sections 4.1.2 and 4.1.3), with RFC 6531's letters.

Invariants: each pattern is possessive, so that no character is looked at twice: the cost is linear in the
line. A line that did not come as UTF-8 has no path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from ..message import NO_PARAMETERS
from .grammar import is_address_literal

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import Self

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
WIDE = r"[^\x00-\x7f]"
"""What is beyond ASCII (RFC 6531 section 3.3)."""


def _and_wide(ascii_characters: str) -> str:
    """A class of these characters and all beyond ASCII."""
    # As what it is not: ranges beyond ASCII keep the compiler busy for longer than a whole start.
    others = (chr(code) for code in range(128) if chr(code) not in ascii_characters)
    return f"[^{''.join(map(re.escape, others))}]"


def _any_number(text: str) -> str:
    """A group that repeats, and gives no repetition back."""
    # Not: possessive, because Python before 3.11.5 then takes what a repetition began with and did not end (gh-106052).
    return f"(?>(?:{text})*)"


_LET_DIG = _and_wide(_ALNUM)
_SUB_DOMAIN = f"{_LET_DIG}++" + _any_number(f"-++{_LET_DIG}++")
_DOMAIN = _SUB_DOMAIN + _any_number(rf"\.{_SUB_DOMAIN}")
_ATOM = _and_wide(_ALNUM + "!#$%&'*+-/=?^_`{|}~") + "++"
_DOT_STRING = _ATOM + _any_number(rf"\.{_ATOM}")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_QTEXT = _and_wide(_PRINTABLE.replace('"', "").replace("\\", ""))
_QUOTED_STRING = '"' + _any_number(rf"{_QTEXT}++|\\[ -~]") + '"'
_SOURCE_ROUTE = f"(?>(?:@{_DOMAIN}{_any_number(f',@{_DOMAIN}')}:)?)"
_MAILBOX = rf"(?:{_DOT_STRING}|{_QUOTED_STRING})@(?:{_DOMAIN}|(?P<literal>\[[^\]]++\]))"
_VALUE = _and_wide(_PRINTABLE.replace(" ", "").replace("=", ""))


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Compiled when it is needed first: at a start there is no time for it."""
    return re.compile(text)


class Path(str):
    """A mailbox as written, without its source route; empty for the null reverse-path.

    :param parameters: what stood behind it, keyword in upper case to value, which is empty where there was
        none; None where that is not of the grammar, or gives a keyword twice.
    """

    __slots__ = ("parameters",)
    parameters: Mapping[str, str] | None

    def __new__(cls, text: str, parameters: Mapping[str, str] | None = NO_PARAMETERS) -> Self:
        made = super().__new__(cls, text)
        made.parameters = parameters
        return made


def reverse_path(line: str) -> Path | None:
    """The path of a MAIL line (RFC 5321 section 4.1.1.2); spaces before it are let pass, as servers do."""
    return _read(line, "mail from:", special="<>")


def forward_path(line: str) -> Path | None:
    """The path of a RCPT line, ``<Postmaster>`` being one (RFC 5321 section 4.1.1.3)."""
    return _read(line, "rcpt to:", special="<postmaster>")


def is_domain(text: str) -> bool:
    """Whether it is a domain, of one label too (RFC 5321 section 4.1.2)."""
    return _pattern(_DOMAIN).fullmatch(text) is not None and _is_utf8(text)


def _read(line: str, words: str, special: str) -> Path | None:
    if line[: len(words)].lower() != words or not _is_utf8(line):
        return None
    text = line[len(words) :].lstrip(" ")
    if text[: len(special)].lower() == special:
        mailbox, behind = text[1 : len(special) - 1], text[len(special) :]
    else:
        found = _pattern(f"<{_SOURCE_ROUTE}(?P<mailbox>{_MAILBOX})>").match(text)
        if found is None or (found["literal"] and not is_address_literal(found["literal"])):
            return None
        mailbox, behind = found["mailbox"], text[found.end() :]
    if behind[:1] not in ("", " "):
        return None
    return Path(mailbox, _parameters(behind) if behind else NO_PARAMETERS)


def _is_utf8(line: str) -> bool:
    """Whether it came as UTF-8; what did not arrives as lone surrogates."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parameters(text: str) -> Mapping[str, str] | None:
    parameters: dict[str, str] = {}
    for word in filter(None, text.split(" ")):
        found = _pattern(f"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=({_VALUE}++))?").fullmatch(word)
        if found is None or found[1].upper() in parameters:
            return None
        parameters[found[1].upper()] = found[2] or ""
    return parameters
