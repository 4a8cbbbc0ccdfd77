"""Paths and their parameters as RFC 5321 has them (sections 4.1.2 and 4.1.3), with RFC 6531's letters.

Invariants: each pattern is possessive, so that no character is looked at twice: the cost is linear in the
line. Bytes that are not UTF-8 arrive as lone surrogates and so belong to no class here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Self

from ..message import NO_PARAMETERS
from .grammar import is_address_literal

WIDE = "\u0080-\ud7ff\ue000-\U0010ffff"
"""What UTF-8 can encode beyond ASCII, inside of a class of a pattern."""

_LET_DIG = f"[A-Za-z0-9{WIDE}]"
_SUB_DOMAIN = f"{_LET_DIG}++(?:-++{_LET_DIG}++)*+"
_DOMAIN = rf"{_SUB_DOMAIN}(?:\.{_SUB_DOMAIN})*+"
_ATOM = f"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{WIDE}-]++"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*+"
_QUOTED_STRING = rf'"(?:[ !#-\[\]-~{WIDE}]++|\\[ -~])*+"'
_SOURCE_ROUTE = f"(?:@{_DOMAIN}(?:,@{_DOMAIN})*+:)?+"
_MAILBOX = rf"(?:{_DOT_STRING}|{_QUOTED_STRING})@(?:{_DOMAIN}|(?P<literal>\[[^\]]++\]))"

_reverse = re.compile(rf" *+<(?:{_SOURCE_ROUTE}(?P<mailbox>{_MAILBOX}))?+>").match
_forward = re.compile(rf" *+<{_SOURCE_ROUTE}(?P<mailbox>(?i:postmaster)(?=>)|{_MAILBOX})>").match
_parameter = re.compile(f"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~{WIDE}]++))?+").fullmatch
_domain = re.compile(_DOMAIN).fullmatch


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
    return _read(line, "mail from:", _reverse)


def forward_path(line: str) -> Path | None:
    """The path of a RCPT line, ``<Postmaster>`` being one (RFC 5321 section 4.1.1.3)."""
    return _read(line, "rcpt to:", _forward)


def is_domain(text: str) -> bool:
    """Whether it is a domain, of one label too (RFC 5321 section 4.1.2)."""
    return _domain(text) is not None


def _read(line: str, words: str, find: Callable[[str], re.Match[str] | None]) -> Path | None:
    if line[: len(words)].lower() != words:
        return None
    text = line[len(words) :]
    found = find(text)
    if found is None or (found["literal"] and not is_address_literal(found["literal"])):
        return None
    behind = text[found.end() :]
    if behind[:1] not in ("", " "):
        return None
    return Path(found["mailbox"] or "", _parameters(behind) if behind else NO_PARAMETERS)


def _parameters(text: str) -> Mapping[str, str] | None:
    parameters: dict[str, str] = {}
    for word in filter(None, text.split(" ")):
        found = _parameter(word)
        if found is None or found[1].upper() in parameters:
            return None
        parameters[found[1].upper()] = found[2] or ""
    return parameters
