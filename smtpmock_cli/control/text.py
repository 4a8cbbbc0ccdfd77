"""Text: bytes, header words and HTML of a mail as text that is valid Unicode.

Invariants: nothing here raises, whatever it is given; each function takes time by its input's length.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from email.errors import MessageError
from email.header import decode_header
from html import unescape
from typing import TypeVar

_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MessageError,
    RuntimeError,  # RecursionError
    TypeError,
    ValueError,
)
"""What ``email`` and ``html`` raise of a mail that they did not foresee."""

T = TypeVar("T")


def attempt(read: Callable[[], T], otherwise: T) -> T:
    """What the standard library reads; where it trips over the mail, something plain instead."""
    try:
        return read()
    except _FAULTS:
        return otherwise


def valid(text: str) -> str:
    """A text without lone surrogates: escaped bytes are read as UTF-8, what else there is becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text_of(content: bytes, charset: str) -> str:
    """Bytes as text, by the charset's name in a mail; what is no character of it becomes U+FFFD."""
    name = _codec(charset.partition("*")[0])  # RFC 2231 section 5: a language may follow
    return valid(attempt(lambda: content.decode(name, "replace"), "") or content.decode("utf-8", "replace"))


# RFC 2978 section 2.3. Python remembers each name that it was asked for, so these must not be just any.
_CHARSET = re.compile(r"[A-Za-z0-9!#$%&'+^_`{}~.:()-]{1,40}").fullmatch
# Python's own, no charsets: some warn, and some take time by the square of the length.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}


def _codec(charset: str) -> str:
    """Python's name for a charset; UTF-8 for one that it has not, and for ASCII, which it is a part of."""
    name = attempt(lambda: codecs.lookup(charset).name, "utf-8") if _CHARSET(charset) else "utf-8"
    return "utf-8" if name == "ascii" or name in _NO_CHARSETS else name


def decoded(value: str) -> str:
    """A header field's value with its encoded-words read (RFC 2047)."""
    return _ENCODED_WORDS.sub(_decode_words, value)


# Those that stand next to each other are one text (section 6.2), and may share a character. Not: any
# number, because decode_header takes time by its square.
_ENCODED_WORD = r"=\?[!->@-~]+\?[BbQq]\?[ ->@-~]*\?="
_ENCODED_WORDS = re.compile(rf"{_ENCODED_WORD}(?:[ \t]+{_ENCODED_WORD}){{0,99}}")


def _decode_words(words: re.Match[str]) -> str:
    undecoded: list[tuple[bytes | str, str | None]] = [(words[0], None)]
    pieces = attempt(lambda: decode_header(words[0]), undecoded)
    return "".join(piece if isinstance(piece, str) else text_of(piece, charset or "") for piece, charset in pieces)


def stripped(markup: str) -> str:
    """The text of HTML, a line for each block."""
    pieces: list[str] = []
    hidden, end = "", 0
    markup = _without_comments(markup)
    for tag in _TAG.finditer(markup):
        if not hidden:
            pieces.append(markup[end : tag.start()])
        end = tag.end()
        name = (tag[1] or "").lower()
        if hidden:
            hidden = "" if name == "/" + hidden else hidden
        elif name in ("script", "style", "title"):
            hidden = name
        elif _is_block(name):
            pieces.append("\n")
    text = "".join(pieces) + ("" if hidden else markup[end:])
    lines = (" ".join(line.split()) for line in attempt(lambda: unescape(text), text).split("\n"))
    return valid("\n".join(line for line in lines if line))


# No tag reaches over the next "<", so that a mail full of unclosed ones is read once, not once for each.
_TAG = re.compile(r"""<(/?[a-zA-Z][^\s/<>]*)(?:[^<>"']|"[^"<]*"|'[^'<]*')*>|<[!/?a-zA-Z][^<>]*>""")
_is_block = re.compile(
    "/?(address|article|aside|blockquote|br|d[dlt]|div|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre|section"
    "|table|t[dhr]|tfoot|thead|ul)"
).fullmatch


def _without_comments(markup: str) -> str:
    first, *rest = markup.split("<!--")
    return first + "".join(piece.partition("-->")[2] for piece in rest)


def words(text: str) -> str:
    """A text as a search compares it: no case, one space between words, and none of what encloses them."""
    return " ".join(text.translate(_ENCLOSING).casefold().split())


_ENCLOSING = str.maketrans('<>",;()\ufeff', " " * 8)
