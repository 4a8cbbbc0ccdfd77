from __future__ import annotations

import sys
import unicodedata

import pytest

from smtpmock_cli.smtp import grammar

LONG_TOP = "a." + "b" * 63


@pytest.mark.parametrize(
    "argument",
    [
        *("example.com", "a.bc", "sub-domain.example.org", "1.2.co", "münchen.de", "пример.рф", LONG_TOP),
        *("localhost", "LocalHost", "localho\u017ft", "127.0.0.1", "[127.0.0.1]", "[001.02.3.255]"),
        *("[IPv6:::1]", "[ipv6:2001:db8::1]", "[IPv6:1:2:3:4:5:6:7:8]", "[IPv6:::ffff:1.2.3.4]"),
        *("a\u0345.\u0345\u0345", "\u017f.k\u212a"),
    ],
)
def test_helo_accepts(argument: str) -> None:
    assert grammar.helo_argument(f"HELO {argument}") == argument
    assert grammar.helo_argument(f"ehlo {argument}") == argument


@pytest.mark.parametrize(
    "argument",
    [
        *("", " example.com", "example", "example.c", "example.c1", ".com", "a..com", "a-.com", "-a.com"),
        *("a--b.com", "a_b.com", "example.com.", "example.com x", "٣.com", "a." + "b" * 64, "x\x00.com"),
        *("localhosts", "localho\ufb06", "256.1.1.1", "1.2.3", "1.2.3.4.5", "0001.2.3.4", "1.2.3.4]"),
        *("[1.2.3.4", "[256.1.1.1]", "[]", "[::1]", "[IPv6:]", "[IPv6:::1%lo]", "[IPv6:1:2:3:4:5:6:7::]"),
        *("[IPv6:::1", "IPv6:::1", "[IPv6:1.2.3.4]", "\udcff.com"),
    ],
)
def test_helo_refuses(argument: str) -> None:
    assert grammar.helo_argument(f"HELO {argument}") is None


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("<a@b.co>", "a@b.co"),
        ("a@b.co", "a@b.co"),
        ("<<a@b.co>>>", "a@b.co"),
        (" \t\f <a@b.co", "a@b.co"),
        ("Zoë Ⅷ <x+y@münchen.de>", "x+y@münchen.de"),
        ("Nameo'brien@b.co", "Nameo'brien@b.co"),
        ("<Zoëx@b.co>", "x@b.co"),
        ("a b@c.com", "b@c.com"),
        ("<.!#$%&'*+-/=?^_{|}~`@b.co>", ".!#$%&'*+-/=?^_{|}~`@b.co"),
        ("<\u017f\u212a@localhost>", "\u017f\u212a@localhost"),
    ],
)
def test_address_is_found(written: str, address: str) -> None:
    assert grammar.mailfrom_address(f"Mail From:{written}") == address
    assert grammar.rcptto_address(f"RCPT TO:{written}") == address


@pytest.mark.parametrize(
    "written",
    [
        *("", "<>", "a", "@b.co", "<@b.co>", "a@", "a@b", "a@b.c", "a@@b.co", "a@b@c.co", "a@b.co x"),
        *("<a@b.co>;", "<a@127.0.0.1>", "<a@[127.0.0.1]>", '"q s"@b.co', "x:<a@b.co>", "a\x0b<b@c.co>"),
        *("<é@b.co>", "\udcff<a@b.co>", "a@b.co> SIZE=1"),
    ],
)
def test_address_is_refused(written: str) -> None:
    assert grammar.mailfrom_address(f"MAIL FROM:{written}") is None
    assert grammar.rcptto_address(f"RCPT TO:{written}") is None


@pytest.mark.parametrize("line", ["MAIL a mail from:<a@b.co>", "MAIL FROM <a@b.co>", "MAIL", "RCPT FROM:<a@b.co>"])
def test_address_needs_its_words_at_the_start(line: str) -> None:
    assert grammar.mailfrom_address(line) is None


@pytest.mark.parametrize(
    ("line", "held"),
    [
        *[(word, True) for word in ("HELO", "xehlox", "a MAIL FROM:b", "rcpt to:", "DaTa", "NOOPS", "quit")],
        *[("R\u017fET", True), ("r\u017fet é", True)],
        *[(word, False) for word in ("", "MAIL FROM", "MAIL  FROM:", "RCPT", "VRFY", "quıt", "maİl from:")],
    ],
)
def test_command_words(line: str, held: bool) -> None:
    assert grammar.holds_command_word(line) is held


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b" NOOP\r", "NOOP"),
        (b"\x1cNOOP\x1f", "\x1cNOOP\x1f"),
        ("\u3000\xa0NOOP\u2028\x85".encode(), "NOOP"),
        (b"NOOP \xff\r", "NOOP \udcff"),
        (b"\xed\xa0\x80", "\udced\udca0\udc80"),
    ],
)
def test_line_is_decoded_and_trimmed(line: bytes, text: str) -> None:
    assert grammar.decode_line(line) == text


def test_python_knows_letters_and_numbers_as_unicode_does() -> None:
    """The recognisers stand on it: isalpha is category L, isalnum L or N, decimals outside ASCII no digits."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)[0]
        assert character.isalpha() == (category == "L"), hex(code)
        assert character.isalnum() == (category in "LN"), hex(code)
