"""Entities: a mail's header fields, and its parts as a tree (RFC 5322 section 2, RFC 2045, RFC 2046 section 5.1).

Invariants: nothing here raises, whatever the bytes are; the depth and number of parts and the number and length of
fields are bounded; a mail is read in steps, and its contents are not copied.

Not: ``email.parser``, because it makes a string of every line, which for a mail of ten megabytes of short lines
takes a quarter of a gigabyte, and reads each mail, and each header, in one go. What a field says of a part
(its type, its parameters) is asked of ``email.message``.
"""

from __future__ import annotations

import email.message
import re
from collections.abc import Iterator

from .exchange import Steps
from .text import attempt

MOST_PARTS = 10_000
DEEPEST_PART = 20
"""A mail of more parts, or of deeper ones, is one text."""
MOST_FIELDS = 10_000
"""How many header fields of a mail are looked at, and of a part a hundredth of it."""
LONGEST_FIELD = 32 * 1024
"""How many bytes of a field are looked at."""
LONGEST_LIST = 1024 * 1024
"""The same of one that lists addresses."""
LONGEST_MIME_FIELD = 2 * 1024
"""The same of a MIME field, because ``email`` takes time by the square of its length."""
_LISTS = ("from", "to", "cc", "bcc", "reply-to", "sender")
_LINES_A_STEP = 1000

Fields = list[tuple[str, str]]


class Entity:
    """A mail, or a part of one.

    :ivar mime: its MIME fields, which answers what they say.
    :ivar start: where its body begins; ``end`` where it ends.
    """

    __slots__ = ("end", "mime", "start")

    def __init__(self, fields: Fields, start: int, end: int, default_type: str = "text/plain") -> None:
        self.start = start
        self.end = end
        self.mime = email.message.Message()
        self.mime.set_default_type(default_type)
        for name, value in fields:
            if name.lower().startswith("content-"):
                self.mime.set_raw(name, value[:LONGEST_MIME_FIELD])


class _TooIntricate(Exception):  # noqa: N818 - not an error: the mail is read in another way
    pass


def read_entities(data: bytes) -> Steps[tuple[Fields, list[tuple[str, Entity]], bool]]:
    """A mail's header fields, the leaves of its tree by their ids, and whether they are alternatives.

    An id is a part's place as Mailpit counts: ``1``, ``2``, within the second ``2.1``; a mail of one is ``0``.
    """
    fields, start = yield from _read_header(data, 0, len(data), MOST_FIELDS)
    root = Entity(fields, start, len(data))
    leaves: list[tuple[str, Entity]] = []
    try:
        yield from _read_tree(data, root, "", 0, leaves)
    except _TooIntricate:
        leaves = [("0", root)]
    return fields, leaves, _type(root) == "multipart/alternative"


def _read_tree(data: bytes, entity: Entity, id: str, depth: int, leaves: list[tuple[str, Entity]]) -> Steps[None]:
    kind = _type(entity)
    parts = (yield from _split(data, entity)) if kind.startswith("multipart/") else None
    if parts is None:
        leaves.append((id or "0", entity))
        return
    if len(leaves) + len(parts) > MOST_PARTS or (parts and depth >= DEEPEST_PART):
        raise _TooIntricate
    default_type = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    for number, (start, end) in enumerate(parts, 1):
        fields, body = yield from _read_header(data, start, end, MOST_FIELDS // 100)
        part = Entity(fields, body, end, default_type)
        yield from _read_tree(data, part, f"{id}.{number}" if id else str(number), depth + 1, leaves)
        yield


def _type(entity: Entity) -> str:
    return attempt(entity.mime.get_content_type, "text/plain")


def _split(data: bytes, entity: Entity) -> Steps[list[tuple[int, int]] | None]:
    """Where the parts of a multipart entity begin and end; None where it has no delimiter."""
    delimiter = _delimiter(entity)
    if delimiter is None:
        return None
    parts: list[tuple[int, int]] = []
    begin: int | None = None
    at, looked = entity.start, 0
    while (at := data.find(delimiter, at, entity.end)) >= 0:
        looked += 1
        if looked % _LINES_A_STEP == 0:
            yield
        rest = _REST(data, at + len(delimiter), entity.end)
        if rest is None or (at > entity.start and data[at - 1] not in b"\r\n"):
            at += len(delimiter)
            continue
        if begin is not None:
            parts.append((begin, max(begin, _before_line_end(data, at))))
        if len(parts) > MOST_PARTS:
            raise _TooIntricate
        if rest[1]:  # the last delimiter: what follows it is of no part
            entity.end = at
            break
        begin = at = rest.end()
    else:
        if begin is not None:
            parts.append((begin, entity.end))
    return None if begin is None else parts


def _delimiter(entity: Entity) -> bytes | None:
    nothing: str | None = None
    boundary = attempt(entity.mime.get_boundary, nothing)
    return None if boundary is None else b"--" + boundary.encode("utf-8", "surrogateescape")


# Section 5.1.1: white space may follow a delimiter, and two hyphens make it the last.
_REST = re.compile(rb"(--)?[ \t]*+(?:\r++\n?+|\n|\Z)").match


def _before_line_end(data: bytes, at: int) -> int:
    """The end of what is before a line, whose preceding line end belongs to the delimiter in it."""
    at -= data[at - 1 : at] == b"\n"
    return at - (data[at - 1 : at] == b"\r")


def _read_header(data: bytes, start: int, end: int, most: int) -> Steps[tuple[Fields, int]]:
    """The header fields from a place on, unfolded, and where the body begins."""
    fields: Fields = []
    field: list[bytes] = []
    size = 0
    for number, (line, at, next_at) in enumerate(_lines(data, start, end), 1):
        if number % _LINES_A_STEP == 0:
            yield
        if line[:1] in (b" ", b"\t"):
            size += len(line)
            if field and size <= LONGEST_LIST:
                field.append(line)
            continue
        _add_field(fields, field, most)
        field, size = [line], len(line)
        if not line:
            return fields, next_at
        if not (line[:1] == b":" or _FIELD(line)):
            return fields, at
    _add_field(fields, field, most)
    return fields, end


# RFC 5322 section 2.2; white space before the colon is of section 4.5.
_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:").match


def _lines(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each line without its end, where it begins, and where the next one does."""
    while at < end:
        found = _LINE_END(data, at, end)
        line_end, next_at = found.span() if found else (end, end)
        yield data[at:line_end], at, next_at
        at = next_at


# CR alone is one too, and CR CR LF is what becomes of a CR LF that somebody took for LF.
_LINE_END = re.compile(rb"\r++\n?+|\n").search


def _add_field(fields: Fields, lines: list[bytes], most: int) -> None:
    before, _, value = (lines[0] if lines else b"").partition(b":")
    if before and len(fields) < most:
        name = before.rstrip(b" \t").decode("ascii")
        longest = LONGEST_LIST if name.lower() in _LISTS else LONGEST_FIELD
        text = b" ".join(line.strip(b" \t") for line in (value, *lines[1:]))
        fields.append((name, text[:longest].decode("utf-8", "replace")))
