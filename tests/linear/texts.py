"""Cases of one text that one function takes: recognisers, the log, what a mail or a query says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.recognisers import FRAMES, RECOGNISERS, UNITS, Hostile
from smtpmock_cli import Configuration
from smtpmock_cli.control import search, text
from smtpmock_cli.control.addresses import mailboxes
from smtpmock_cli.control.mail import read_mail, unsubscribe_links
from smtpmock_cli.control.sandbox import with_links
from smtpmock_cli.control.steps import finish
from smtpmock_cli.log import escape
from smtpmock_cli.message import Message
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp.auth import MECHANISMS
from smtpmock_cli.smtp.concealment import concealed
from smtpmock_cli.smtp.occasion import said, subject
from tests.control.mails import accepted

from .case import Call, Case, each, filled

_SOME_UNITS = UNITS[::6]
"""The benchmark takes all of them, by a clock."""
_COMMANDS = {"plain": Configuration(), "ESMTP": Configuration(extensions=["CHUNKING", "DSN"], auth_required=True)}
_BEGINNINGS = ("", "NOOP ", "VRFY <", "BDAT ", "BDAT 1", "AUTH ", "MAIL FROM:<a@b> ", "RCPT TO:<a@b> ")
_PARAMETERS = ("A ", "A=", "SIZE=1 ", "AUTH=+2B", "NOTIFY=NEVER,", "ORCPT=a;b", "A=é ")
_FILLINGS = ("a", " ", "data", "dat", "\u017f", "\udcff", "0", "X\t", *_PARAMETERS)


def cases() -> Iterator[Case]:
    for name, frames in FRAMES.items():
        for before, after in frames:
            yield Case(f"{name} of {before}…{after}", partial(_recognised, name, before, after))
    for name, settings in _COMMANDS.items():
        yield Case(f"commands, {name}", partial(_commands, settings))
    for name, (function, units) in _CHEAP.items():
        yield Case(name, partial(_filling, function, units))
    for name, (function, units) in _DEAR.items():
        yield Case(name, partial(_filling, function, units), 1 / 4)
    yield Case("forms of a message", _forms, 1 / 16)
    yield Case("proofs", _proofs)


def _recognised(name: str, before: str, after: str, size: int) -> Call:
    return each(RECOGNISERS[name], (Hostile(before, unit, "", after).line(size) for unit in _SOME_UNITS))


def _commands(settings: Configuration, size: int) -> Call:
    lines = (begun + filling for begun in _BEGINNINGS for filling in filled(_FILLINGS, size))
    return each(command_table(settings).recognise, lines)


def _filling(function: Callable[[Any], object], units: Sequence[Any], size: int) -> Call:
    return each(function, filled(units, size))


_PICTURES = finish(read_mail(accepted(b"Content-ID: <a>\r\n\r\n"))).parts


def _with_links(markup: str) -> str:
    return finish(with_links(markup, _PICTURES, "/"))


def _normalized(given: str) -> str:
    return finish(text.normalize(given))


def _text_of_html(markup: str) -> str:
    return finish(text.html_to_text(markup))


def _mailboxes(field: str) -> object:
    return finish(mailboxes(field))


def _searched(query: str) -> bool:
    return search.meets(search.terms(query), lambda _: "", lambda _: True)


_Functions = dict[str, tuple[Callable[[Any], object], Sequence[Any]]]
_CHEAP: _Functions = {
    "concealment": (concealed, ("auth ", "AUTH\t", " ", "auth plain a", "\u2003a")),
    "said": (partial(said, "mail"), (":", "<", ">", " ", ":<", "a:")),
    "subject": (subject, (b"\n ", b"\n\t", b"\nsubject:", b":", b"\r\n\r", b"\nsubject ")),
}
_DEAR: _Functions = {
    "log": (escape, ("\x1b", "a\r", "é\x9b", "\udc9b\u2028", "中\x00")),
    "query": (_searched, ('"', "a ", "-:", '"a" ', "subject:")),
    "words": (_normalized, (" ", "ß", "\u0130", '";')),
    "HTML": (_text_of_html, ("<", "<a ", "<!--", '<p "', "&", "<p>")),
    "addresses": (_mailboxes, ("a@b,", "(", "(\\", '"', "<@a,", "a:", "=?a?q?", "[", "<")),
    "encoded-words": (text.decoded, ("=?", "=?utf-8?q?a?= ", "=?a?q?", "=?a?b?=?")),
    "references": (_with_links, ('"cid:', "(cid:a)", "' ", "=", '"cid:a" ')),
    "links": (unsubscribe_links, ("(", "()", "<", "<http:a>,", "(<", ", ")),
}


def _forms(size: int) -> Call:
    """What becomes of a message outside: JSON, and a mail."""

    def forms(body: bytes) -> None:
        message = Message()
        message.msg_request = body
        message.helo_request = message.reverse_path = "\udcff" * size
        message.forward_paths = ["a@b"] * (size // 16)
        json.dumps(message.as_json())
        message.as_mail()

    return each(forms, filled((b'"', b"\0", b"\xff", "\U0001f600".encode()), size))


def _proofs(size: int) -> Call:
    """What AUTH makes of responses."""
    users, challenges = {b"a": b"b"}, [b"<1@smtpmock>"] * 2

    def judge(response: bytes) -> None:
        for mechanism in MECHANISMS.values():
            mechanism.judge(users, challenges, [response, response])

    return each(judge, filled((b"\0", b"a", b" ", b"a\0", b"a ", b"\xff"), size))
