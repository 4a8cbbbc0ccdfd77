"""EHLO's keywords, and the parameters of MAIL and RCPT that each of them allows (RFC 5321 section 2.2).

Not: refusing who sends commands in one go where PIPELINING is not offered, because that would make the
replies depend on how the network cut the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .path import WIDE

USUAL = ("SIZE", "8BITMIME", "PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES")
"""What is offered where no list says otherwise."""

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # RFC 3461 section 4
_NOTICE = "(?:SUCCESS|FAILURE|DELAY)"

# Extension to the parameters that it allows, each with a pattern of its values, whatever the letter case.
_OF_MAIL: Mapping[str, Mapping[str, str]] = {
    "SIZE": {"SIZE": "[0-9]{1,20}"},  # RFC 1870 section 4
    "8BITMIME": {"BODY": "7BIT|8BITMIME"},  # RFC 6152 section 2
    "BINARYMIME": {"BODY": "7BIT|BINARYMIME"},  # RFC 3030 section 3
    "SMTPUTF8": {"SMTPUTF8": ""},  # RFC 6531 section 3.4: it has no value
    "DSN": {"RET": "FULL|HDRS", "ENVID": f"{_XTEXT}{{1,100}}"},  # RFC 3461 sections 4.3 and 4.4
    "AUTH": {"AUTH": f"<>|{_XTEXT}+"},  # RFC 4954 section 5
}
_OF_RCPT: Mapping[str, Mapping[str, str]] = {
    # RFC 3461 sections 4.1 and 4.2, and RFC 6533 section 3
    "DSN": {"NOTIFY": f"NEVER|{_NOTICE}(?:,{_NOTICE})*", "ORCPT": f"[A-Za-z0-9-]+;(?:{_XTEXT}|{WIDE}){{1,500}}"},
}

_KNOWN = {*_OF_MAIL, "PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "STARTTLS"}


class Parameters:
    """The parameters that some extensions allow behind a path.

    :param known: for each extension, its parameters, each with a pattern of its values.
    """

    def __init__(self, keywords: Iterable[str], known: Mapping[str, Mapping[str, str]]) -> None:
        patterns: dict[str, list[str]] = {}
        for keyword in keywords:
            for parameter, pattern in known.get(keyword, {} if keyword in _KNOWN else {keyword: ".*"}).items():
                patterns.setdefault(parameter, []).append(pattern)
        self._values = {
            parameter: re.compile("|".join(allowed), re.IGNORECASE).fullmatch for parameter, allowed in patterns.items()
        }

    def are_known(self, given: Iterable[str]) -> bool:
        """Whether these keywords may stand there."""
        return self._values.keys() >= set(given)

    def are_valid(self, given: Mapping[str, str]) -> bool:
        """Whether each of these, all known, has a value that it can have."""
        return all(self._values[keyword](value) for keyword, value in given.items())


class Offer:
    """What EHLO offers, and what may stand behind a path for it.

    :param words: keywords, each with or without parameters behind a space. One that is not known is offered
        as it stands, and allows a parameter of its own name.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words: dict[str, str] = {}
        """By keyword; of two, the first counts."""
        for word in words:
            self._words.setdefault(word.partition(" ")[0].upper(), word)
        self.of_mail = Parameters(self._words, _OF_MAIL)
        self.of_rcpt = Parameters(self._words, _OF_RCPT)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._words

    def lines(self, size_limit: int) -> list[str]:
        """What stands in EHLO's reply, a line each; ``size_limit`` in bytes."""
        return [f"SIZE {size_limit}" if word.upper() == "SIZE" else word for word in self._words.values()]
