"""Text: bytes, header words and HTML of a mail as text that is valid Unicode.

Invariants: nothing here raises, whatever it is given; each function takes time by its input's length, and what may be
long is read in steps.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from email.errors import MessageError
from email.header import decode_header
from html import unescape
from typing import TypeVar

from .exchange import Steps

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

_SLICE = 32 * 1024
"""Bytes or characters of a step."""
_PIECE = 8 * 1024
"""The same of HTML's text, where each may be a character reference or a line."""
_TAGS_A_STEP = 500
_JOINED_AT_ONCE = 2000
_LONGEST_TAG = 32 * 1024
"""A longer one is text: a browser's limit is higher, but no mail's tag is that long."""
_LONGEST_REFERENCE = 40

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
    """A few bytes as text, by the charset's name in a mail; what is no character of it becomes U+FFFD."""
    name = _codec(charset)
    return valid(attempt(lambda: content.decode(name, "replace"), "") or content.decode("utf-8", "replace"))


def decoded_text(content: bytes, charset: str) -> Steps[str]:
    """The same of any number of bytes."""
    if len(content) <= _SLICE:
        return text_of(content, charset)
    name = _codec(charset)
    text = yield from _decoded_by(content, name)
    if text is None:
        text = (yield from _decoded_by(content, "utf-8")) or ""
    return text


def _decoded_by(content: bytes, codec: str) -> Steps[str | None]:
    """The text; None where the codec fails, or makes no text of it."""
    pieces: list[str] = []
    try:
        b"".decode(codec)  # refuses what is not a text encoding
        decoder = codecs.getincrementaldecoder(codec)("replace")
        for at in range(0, len(content), _SLICE):
            pieces.append(valid(decoder.decode(content[at : at + _SLICE])))
            yield
        pieces.append(valid(decoder.decode(b"", final=True)))
    except _FAULTS:
        return None
    return "".join(pieces) or None


# RFC 2978 section 2.3. Python remembers each name that it was asked for, so these must not be just any.
_CHARSET = re.compile(r"[A-Za-z0-9!#$%&'+^_`{}~.:()-]{1,40}").fullmatch
# Python's own, no charsets: some warn, and some take time by the square of the length.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}


def _codec(charset: str) -> str:
    """Python's name for a charset; UTF-8 for one that it has not, and for ASCII, which it is a part of."""
    charset = charset.partition("*")[0]  # RFC 2231 section 5: a language may follow
    name = attempt(lambda: codecs.lookup(charset).name, "utf-8") if _CHARSET(charset) else "utf-8"
    return "utf-8" if name == "ascii" or name in _NO_CHARSETS else name


def decoded(value: str) -> str:
    """A header field's value with its encoded-words read (RFC 2047)."""
    return _ENCODED_WORDS.sub(_decode_words, value)


# Those that stand next to each other are one text (section 6.2), and may share a character. Not: any
# number, because decode_header takes time by its square.
ENCODED_WORD = r"=\?[!->@-~]+\?[BbQq]\?[ ->@-~]*\?="
_ENCODED_WORDS = re.compile(rf"{ENCODED_WORD}(?:[ \t]+{ENCODED_WORD}){{0,99}}")


def _decode_words(words: re.Match[str]) -> str:
    undecoded: list[tuple[bytes | str, str | None]] = [(words[0], None)]
    pieces = attempt(lambda: decode_header(words[0]), undecoded)
    return "".join(piece if isinstance(piece, str) else text_of(piece, charset or "") for piece, charset in pieces)


class _Joined:
    """Joins any number of texts, none of the joins being a long one."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._joined: list[str] = []
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._texts or self._joined)

    def add(self, text: str) -> None:
        self._texts.append(text)
        if len(self._texts) >= _JOINED_AT_ONCE:
            self._joined.append(self._separator.join(self._texts))
            self._texts.clear()

    def take(self) -> str:
        """All of them; nothing is left."""
        text = self._separator.join([*self._joined, *self._texts])
        self._joined.clear()
        self._texts.clear()
        return text


class _Lines:
    """Collects text of which a part is added at a time: lines without a space too many, none of them empty."""

    def __init__(self) -> None:
        self._lines = _Joined("\n")
        self._line = _Joined("")
        self._has_gap = False

    def add(self, text: str) -> None:
        first, *others = text.split("\n") if "\n" in text else (text,)
        self._add_to_line(first)
        for line in others:
            self.end_line()
            self._add_to_line(line)

    def _add_to_line(self, text: str) -> None:
        part = " ".join(text.split())
        if part:
            if self._line and (self._has_gap or text[0].isspace()):
                self._line.add(" ")
            self._line.add(part)
            self._has_gap = text[-1].isspace()
        elif text:
            self._has_gap = True

    def end_line(self) -> None:
        if self._line:
            self._lines.add(self._line.take())
        self._has_gap = False

    def take(self) -> str:
        self.end_line()
        return self._lines.take()


def words(text: str) -> str:
    """A short text as a search compares it: no case, one space between words, and none of what encloses them."""
    return " ".join(text.translate(_ENCLOSING).casefold().split())


def normalize(*texts: str) -> Steps[str]:
    """The same of any number of texts of any length, as one text."""
    if sum(map(len, texts)) <= _SLICE:
        return words(" ".join(texts))
    line = _Lines()
    for text in texts:  # Not: joined first, because of long ones that takes as long as many slices.
        for at in range(0, len(text), _SLICE):
            line.add(text[at : at + _SLICE].translate(_ENCLOSING).casefold())
            yield
        line.add(" ")
    return line.take()


_ENCLOSING = str.maketrans('<>",;()\ufeff\n', " " * 9)


def html_to_text(markup: str) -> Steps[str]:
    """The text of HTML, a line for each block."""
    lines = _Lines()
    at, hidden, tags = 0, "", 0
    while at < len(markup):
        tag_at = markup.find("<", at)
        end = tag_at if tag_at >= 0 else len(markup)
        if not hidden and at < end:
            for text in _pieces(markup, at, end):
                lines.add(_unescaped(text))
                if end - at > _PIECE:
                    yield
        if tag_at < 0:
            break
        at, name = _tag(markup, tag_at)
        if hidden:
            hidden = "" if name == "/" + hidden else hidden
        elif name in _HIDING:
            hidden = name
        elif name == _NO_TAG:
            lines.add("<")
        elif name.removeprefix("/") in _BLOCKS:
            lines.end_line()
        tags += 1
        if tags % _TAGS_A_STEP == 0:
            yield
    return lines.take()


_NO_TAG = "<"
_HIDING = {"script", "style", "title"}
_BLOCKS = {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2"}
_BLOCKS |= {"h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td"}
_BLOCKS |= {"tfoot", "th", "thead", "tr", "ul"}


def _tag(markup: str, at: int) -> tuple[int, str]:
    """Where the tag or comment that begins here ends, and the tag's name."""
    if markup.startswith("<!--", at):
        end = markup.find("-->", at + len("<!--"))
        return (end + len("-->") if end >= 0 else len(markup)), ""
    found = _TAG(markup, at, at + _LONGEST_TAG)
    return (found.end(), (found[1] or "").lower()) if found else (at + 1, _NO_TAG)


# No tag reaches over the next "<", so that a mail full of unclosed ones is read once, not once for each.
_TAG = re.compile(r"""<(/?[a-zA-Z][^\s/<>]*)(?>(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*)>|<[!/?a-zA-Z][^<>]*+>""").match


def _pieces(text: str, start: int, end: int) -> Iterator[str]:
    """A part of a text, not too much at a time, and none of its character references cut in two."""
    while start < end:
        cut = min(start + _PIECE, end)
        if cut < end:
            reference = text.rfind("&", max(start + 1, cut - _LONGEST_REFERENCE), cut)
            cut = reference if reference > start else cut
        yield text[start:cut]
        start = cut


def _unescaped(text: str) -> str:
    return valid(attempt(lambda: unescape(text), text)) if "&" in text else text
