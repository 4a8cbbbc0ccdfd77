"""The recognisers of arguments against a model that reads a character at a time.

An input is: recogniser, and the line. What is accepted is a part of what was sent, and is accepted again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

from smtpmock_cli import Configuration
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import grammar, path
from smtpmock_cli.smtp.chunks import chunk_argument
from smtpmock_cli.smtp.concealment import HIDDEN, concealed
from smtpmock_cli.smtp.path import Path
from tests.fuzz import seeds as shared
from tests.fuzz.pieces import chosen

LONGEST = 512
TOKENS = shared.TOKENS

_LOCAL_PART = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+-/=?^_`{|}~\u017f\u212a")
_TABLES = [command_table(settings) for settings in (Configuration(), Configuration(extensions=["CHUNKING", "DSN"]))]
_may_be_mechanism = re.compile("[A-Za-z0-9-]{4,13}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L" or character == "\u0345"


def _is_name(character: str) -> bool:
    return character in "\t\n\f\r <" or _is_letter(character) or unicodedata.category(character)[0] == "N"


def _is_domain(text: str) -> bool:
    if len(text) == 9 and text.replace("\u017f", "s").lower() == "localhost":
        return True
    *groups, top = re.split("[.-]", text)
    return (
        text[-len(top) - 1 : -len(top)] == "."
        and 2 <= len(top) <= 63
        and all(map(_is_letter, top))
        and all(group and all(_is_letter(one) or one in "0123456789" for one in group) for group in groups)
    )


def _is_quad(text: str) -> bool:
    octets = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", text)
    return octets is not None and all(int(octet) < 256 for octet in octets.groups())


def _is_literal(text: str) -> bool:
    return text[:1] == "[" and text[-1:] == "]" and (_is_quad(text[1:-1]) or _is_ipv6(text[1:-1]))


def _is_ipv6(text: str) -> bool:
    try:
        return text[:5].lower() == "ipv6:" and len(IPv6Address(text[5:]).packed) == 16 and "%" not in text
    except ValueError:
        return False


def _model_of_address(line: str, words: str) -> str | None:
    before, at, domain = line[len(words) :].partition("@")
    start = len(before)
    while start and before[start - 1] in _LOCAL_PART:
        start -= 1
    if not (at and before[start:] and all(map(_is_name, before[:start])) and _is_domain(domain.rstrip(">"))):
        return None
    return f"{before[start:]}@{domain.rstrip('>')}"


def _check_helo(line: str) -> None:
    verb, space, argument = line.partition(" ")
    valid = verb.lower() in ("helo", "ehlo") and (_is_domain(argument) or _is_quad(argument))
    found = grammar.helo_argument(line)
    if found is None:
        assert not valid, line
    else:
        assert space
        assert found == argument
        assert valid or _is_literal(argument), line
        assert path.is_domain(found) or _is_literal(found) or found.isascii() is False


def _check_address(recognise: Callable[[str], str | None], words: str, line: str) -> None:
    found = recognise(line)
    expected = _model_of_address(line, words) if line[: len(words)].lower() == words else None
    assert found == expected, (found, expected)
    if found is not None:
        assert found in line
        assert not _CONTROL(found)
        assert recognise(f"{words}<{found}>") == found


def _check_path(recognise: Callable[[str], Path | None], words: str, line: str) -> None:
    found = recognise(line)
    if found is None:
        return
    assert not _CONTROL(found)
    before, whole, behind = line.partition(f"{found}>")
    assert whole
    assert "<" in before
    assert behind[:1] in ("", " ")
    parameters = found.parameters
    if parameters is not None:
        assert not any(map(_CONTROL, (*parameters, *parameters.values())))
        again = " ".join(f"{name}={value}" if value else name for name, value in parameters.items())
        repeated = recognise(f"{words}<{found}> {again}")
        assert repeated == found
        assert repeated is not None
        assert repeated.parameters == parameters
    if found and found.lower() != "postmaster":
        local_part, at, domain = found.rpartition("@")
        assert at
        assert local_part
        assert path.is_domain(domain) or _is_literal(domain)


def _check_command(line: str) -> None:
    for table in _TABLES:
        row, argument = table.recognise(line)
        assert (row, argument) == table.recognise(line)
        if row is None:
            assert argument is None
        else:
            assert table.rows[line.partition(" ")[0].upper()] is row


def _check_chunk(line: str) -> None:
    found = re.fullmatch(r"bdat +[0-9]{1,20}( +last)?", line.replace("\u017f", "s"), re.IGNORECASE)
    assert chunk_argument(line) == (line if found else None)


def _check_concealment(line: str) -> None:
    known = concealed(line)
    words = line.split()
    if not words or words[0].lower() != "auth":
        assert known == line
        return
    assert len(known.split()) <= 3
    assert all(word == HIDDEN or _may_be_mechanism(word) for word in known.split()[1:])
    assert len(words) < 3 or known.endswith(HIDDEN)
    assert concealed(known) == known


_CHECKS: tuple[Callable[[str], None], ...] = (
    _check_helo,
    lambda line: _check_address(grammar.mailfrom_address, "mail from:", line),
    lambda line: _check_address(grammar.rcptto_address, "rcpt to:", line),
    lambda line: _check_path(path.reverse_path, "mail from:", line),
    lambda line: _check_path(path.forward_path, "rcpt to:", line),
    _check_command,
    _check_chunk,
    _check_concealment,
)
_KINDS = {"helo": (0, 5), "mailfrom": (1, 3, 5), "rcptto": (2, 4, 5)}


def check(data: bytes) -> None:
    if data:
        line = data[1:].partition(b"\n")[0]
        chosen(_CHECKS, data[0])(grammar.decode_line(line))


def seeds() -> Iterator[bytes]:
    for kind, line in shared.recorded_lines():
        for number in _KINDS[kind]:
            yield bytes([number]) + line
    for stream in shared.STREAMS:
        for line in stream.split(b"\n"):
            for number in range(len(_CHECKS)):
                yield bytes([number]) + line.rstrip(b"\r")
    for line in (b"BDAT 5", b"bdat  007   LAST", b"BDA\xc5\xbf 1", b"AUTH\tPLAIN  x y", b"auth x", b"AUTH GSSAPI"):
        yield b"\x06" + line
        yield b"\x07" + line
