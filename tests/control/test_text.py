"""Bytes, header words and HTML as text: what is readable is read, and nothing raises."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpmock_cli.control.steps import finish
from smtpmock_cli.control.text import decoded, decoded_text, html_to_text, normalize, text_of, valid, words

ODD = "\ufffd"
MEGABYTE = 1024 * 1024
BOUND = 15.0
"""Seconds that a megabyte may take; what takes time by the square of its length takes minutes."""


def assert_valid(text: str) -> None:
    text.encode("utf-8")


def texts_of(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces)).map("".join)


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("é".encode(), "", "é"),
        ("é".encode(), "UTF-8", "é"),
        (b"\xe9", "ISO-8859-1", "é"),
        (b"\xe9", "iso-8859-1*fr", "é"),
        (b"\x93\x94", "windows-1252", "“”"),
        ("日本語".encode("iso2022_jp"), "iso-2022-jp", "日本語"),
        (b"\xe9", "utf-8", ODD),
        (b"+2AA-", "utf-7", ODD),
        ("é".encode(), "us-ascii", "é"),
        (b"abc", "no such charset", "abc"),
        (b"abc", "x" * 5000, "abc"),
        (b"abc", "a\0b", "abc"),
        (b"6162", "hex", "6162"),
        (b"\\d\xe9", "unicode_escape", "\\d" + ODD),
        (b"xn--bcher-kva", "idna", "xn--bcher-kva"),
        (b"bcher-kva", "punycode", "bcher-kva"),
        (b"abc", "undefined", "abc"),
        (b"", "utf-8", ""),
    ],
)
def test_bytes_as_text(content: bytes, charset: str, text: str) -> None:
    assert text_of(content, charset) == text
    assert finish(decoded_text(content, charset)) == text


@given(st.binary(), st.text())
@example(b"\xff", "utf-16")
@example(b"x", "\ud800")
def test_any_bytes_in_any_charset(content: bytes, charset: str) -> None:
    assert_valid(text_of(content, charset))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("é", "é"),
        ("\udcc3\udca9", "é"),
        ("\udcff", ODD),
        ("\ud800 é", f"{ODD} é"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_lone_surrogates(text: str, expected: str) -> None:
    assert valid(text) == expected


@given(st.text(st.characters()))
def test_any_text_becomes_valid(text: str) -> None:
    assert_valid(valid(text))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain = text?", "plain = text?"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?R3LDvMOfZQ==?= and more", "Grüße and more"),
        ("=?utf-8?q?a_b?= =?utf-8?q?c?=", "a bc"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?iso-8859-1?Q?=E9?= (=?utf-8?b?w6k=?=)", "é (é)"),
        ("=?utf-8?Q?with space?=", "with space"),
        ("=?utf-8?q?unclosed", "=?utf-8?q?unclosed"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?nothing?q?=E9?=", ODD),
        ("é", "é"),
    ],
)
def test_encoded_words(value: str, text: str) -> None:
    assert decoded(value) == text


@given(texts_of("=?", "?=", "?", "utf-8", "utf-16", "q", "b", "=", "=D8=00", " ", "é", "AA=="))
def test_any_words(value: str) -> None:
    assert_valid(decoded(value))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("no markup", "no markup"),
        ("<h1>Heading</h1><p>A <b>bold</b> word</p>", "Heading\nA bold word"),
        ("<P>one<BR/>two</P>", "one\ntwo"),
        ("a&nbsp;&lt;b&gt; &amp;amp; &#233;", "a <b> &amp; é"),
        ("<style>p { color: red }</style>x<script>if (a < b) c()</script>y<title>z</title>", "xy"),
        ("<script>never closed", ""),
        ("<!-- a <p>comment</p> --> b <!-- c", "b"),
        ("<a href=\"https://example.com/?a>b\" title='>'>link</a>", "link"),
        ("<p class=it's>x</p>", "x"),
        ("1 < 2 and 2 > 1", "1 < 2 and 2 > 1"),
        ("<p", "<p"),
        (f"&#{'9' * 5000};", f"&#{'9' * 5000};"),
        ("&#xd800;", ODD),
        ("", ""),
    ],
)
def test_html_as_text(markup: str, text: str) -> None:
    assert finish(html_to_text(markup)) == text


@given(texts_of("<", ">", "<!--", "-->", "<p", "</p>", "<script>", "'", '"', "&#", "1;", "x", "\n"))
def test_any_markup(markup: str) -> None:
    assert_valid(finish(html_to_text(markup)))


@pytest.mark.parametrize(
    ("read", "unit"),
    [
        *(
            (lambda text: finish(html_to_text(text)), unit)
            for unit in ("<", "<a", "<a '", '<a "', "<!--", "<!--<p>", "<script>", "&", "&#1", "<a '\"")
        ),
        *((decoded, unit) for unit in ("=?", "=?a?q?", "=?a?q?x", "=?a?q?b?=", "=?a?q?b?= ", " ", "=?a?q?=41?= ")),
        *((lambda text: finish(normalize(text)), unit) for unit in ("<", " ", "a ")),
    ],
)
def test_a_megabyte_takes_no_time(read: Callable[[str], str], unit: str) -> None:
    text = unit * (MEGABYTE // len(unit))
    started = time.perf_counter()
    read(text)
    assert time.perf_counter() - started < BOUND


def test_words_of_a_search() -> None:
    assert words('Über  "Straße" <a@b>,\r\n\t(c);\ufeffd') == "über strasse a@b c d"


@pytest.mark.parametrize("text", ["a b", " a", "a ", "  ", "Straße ", "<a> ", "é\n", "x" * 100 + " "])
@pytest.mark.parametrize("shift", ["", "y", " "])
def test_a_long_text_is_normalized_as_a_short_one(text: str, shift: str) -> None:
    long_text = shift + text * (100_000 // len(text))
    assert finish(normalize(long_text)) == words(long_text)


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "gb2312", "iso-2022-jp", "latin1", "utf-7", "no such"])
@pytest.mark.parametrize("character", ["é", "中", "a", "\U0001f600"])
def test_long_bytes_are_read_as_short_ones(charset: str, character: str) -> None:
    try:
        content = (character * 50_001).encode(charset)
    except (LookupError, UnicodeEncodeError):
        content = (character * 50_001).encode()
    assert finish(decoded_text(content, charset)) == text_of(content, charset)


@pytest.mark.parametrize("markup", ["&amp;<p>x</p>", "a &lt;b ", "<!-- x -->y", "&#233;", "<a href='x'>é</a>\n"])
def test_long_html_is_read_as_short_html(markup: str) -> None:
    few = finish(html_to_text(markup * 3))
    many = finish(html_to_text(markup * 6000))
    assert many.startswith(few[: len(few) * 2 // 3])
    assert len(many) >= (len(few) // 3 - 1) * 6000
    assert ODD not in many
