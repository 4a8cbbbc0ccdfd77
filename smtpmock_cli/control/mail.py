"""Mail: an accepted message as its reader sees it; the standard library's ``email`` parses it.

Invariants: nothing here raises, whatever the bytes are; every text that is given is valid Unicode; the
depth and number of parts are bounded, and a content is decoded only when it is asked for.
"""

from __future__ import annotations

import email.message
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import BytesHeaderParser, BytesParser
from email.policy import Compat32, Policy
from email.utils import getaddresses, parsedate_to_datetime
from functools import cached_property
from typing import NamedTuple

from ..message import Message
from .text import attempt, decoded, stripped, text_of, valid

MOST_PARTS = 10_000
DEEPEST_PART = 20
"""A mail of more parts, or of deeper ones, is one text."""
LONGEST_FIELD = 32 * 1024
LONGEST_MIME_FIELD = 2 * 1024
"""How much of a header field is looked at, because ``email`` takes time by the square of its length."""


class Address(NamedTuple):
    """A mailbox (RFC 5322 section 3.4): a display name, which may be empty, and ``local@domain``."""

    name: str
    address: str


class Part:
    """A part with a content of its own (RFC 2045 section 2.4).

    :param id: its place as Mailpit counts: ``1``, ``2``, within the second ``2.1``; alone it is ``0``.
    """

    __slots__ = ("_entity", "content_id", "content_type", "disposition", "file_name", "id")

    def __init__(self, id: str, entity: _Entity) -> None:
        self.id = id
        self._entity = entity
        self.content_type = attempt(entity.own_content_type, "application/octet-stream")
        self.disposition = attempt(entity.get_content_disposition, None) or ""
        self.file_name = _parameter(entity, "Content-Disposition", "filename")
        self.file_name = self.file_name or _parameter(entity, "Content-Type", "name")
        self.content_id = entity.get("Content-ID", "").strip("<> ")

    @property
    def charset(self) -> str:
        """As the part names it; empty where it does not."""
        return _parameter(self._entity, "Content-Type", "charset")

    @property
    def text_type(self) -> str:
        """``text/plain`` or ``text/html`` where it is a text to be shown, else empty."""
        if self.disposition == "attachment":
            return ""
        if self.content_type.startswith("multipart/"):  # its boundary is nowhere, so it is one text
            return "text/plain"
        return self.content_type if self.content_type in ("text/plain", "text/html") else ""

    @property
    def is_attachment(self) -> bool:
        if self.disposition == "attachment" or self.content_type == "application/octet-stream":
            return True
        return self.id == "0" and not self.text_type

    @property
    def is_inline(self) -> bool:
        """Whether a text may refer to it: no attachment, and with a name to refer by."""
        if self.is_attachment or not (self.file_name or self.content_id):
            return False
        return self.disposition == "inline" or not self.text_type

    def content(self) -> bytes:
        """The decoded content, byte for byte; as it stands, where it cannot be decoded."""
        nothing: object = None
        content = attempt(lambda: self._entity.get_payload(decode=True), nothing)
        if content is None:
            content = attempt(lambda: self._entity.get_payload(), nothing)
        return content if isinstance(content, bytes) else valid(str(content or "")).encode("utf-8")

    def text(self) -> str:
        return text_of(self.content(), self.charset)


class Mail:
    """A message's header fields, texts and parts."""

    def __init__(self, message: Message) -> None:
        self._message = message
        data = message.as_mail()
        self.size = len(data)
        root = _parsed(data)
        self.fields: dict[str, list[str]] = {}
        """By lower-cased name, unfolded, encoded-words as they stand."""
        for name, value in root.items():
            self.fields.setdefault(name.lower(), []).append(value)
        self._addresses: dict[str, list[Address]] = {}
        self.parts = list(_parts(root))
        self._has_alternatives = attempt(root.own_content_type, "") == "multipart/alternative"

    def field(self, name: str) -> str:
        """The first field of this lower-cased name, decoded; empty where there is none."""
        return decoded(self.fields.get(name, [""])[0])

    def addresses(self, name: str) -> list[Address]:
        """The mailboxes of all fields of this lower-cased name."""
        if name not in self._addresses:
            self._addresses[name] = _addresses(", ".join(self.fields.get(name, []))[:LONGEST_FIELD])
        return self._addresses[name]

    @property
    def sender(self) -> Address:
        """The first mailbox of From; what is none stands as a name."""
        return (self.addresses("from") or [Address(self.field("from"), "")])[0]

    @cached_property
    def blind_copies(self) -> list[Address]:
        """The envelope's recipients that stand in no field, then those of Bcc."""
        shown = [mailbox for name in ("to", "cc", "bcc") for mailbox in self.addresses(name)]
        known = {mailbox.address.lower() for mailbox in shown}
        paths = dict.fromkeys(valid(path) for path in self._message.forward_paths)
        return [Address("", path) for path in paths if path.lower() not in known] + self.addresses("bcc")

    @property
    def return_path(self) -> str:
        """The reverse-path; where it is empty, the sender's address."""
        return valid(self._message.reverse_path) or self.sender.address

    @property
    def arrival(self) -> datetime:
        return datetime.fromtimestamp(self._message.received_at, UTC)

    @property
    def date(self) -> datetime:
        """Of the Date field, else of the arrival; always with an offset from UTC."""
        date = attempt(lambda: parsedate_to_datetime(self.field("date")), self.arrival)
        return date if date.tzinfo else date.replace(tzinfo=UTC)

    @cached_property
    def html(self) -> str:
        return next(self._texts("text/html"), "")

    @cached_property
    def text(self) -> str:
        """The plain texts; where there is none, the HTML's."""
        texts = list(self._texts("text/plain"))
        if self._has_alternatives:
            del texts[1:]
        return "\n--\n".join(texts) or stripped(self.html)

    @property
    def attachments(self) -> list[Part]:
        return [part for part in self.parts if part.is_attachment]

    @property
    def inlines(self) -> list[Part]:
        return [part for part in self.parts if part.is_inline]

    def _texts(self, text_type: str) -> Iterator[str]:
        return (part.text() for part in self.parts if part.text_type == text_type and not part.is_attachment)


def _addresses(value: str) -> list[Address]:
    none: list[tuple[str, str]] = []
    found = attempt(lambda: getaddresses([value]), none)
    return [Address(decoded(name), address) for name, address in found if "@" in address]


def unsubscribe_links(field: str) -> tuple[list[str], list[str]]:
    """The links of a List-Unsubscribe field (RFC 2369 section 3.2), and what is wrong with it.

    At most one by mail and one by HTTP, as RFC 8058 has them.
    """
    field = _COMMENT.sub("", field)
    found, links, faults = _LINK.findall(field), {}, []
    if not found or _LINK.sub("", field).strip(", \t"):
        faults.append("a link stands between < and >, a comma between two")
    for link in found:
        scheme = link.partition(":")[0].lower().replace("https", "http")
        if scheme not in ("mailto", "http") or " " in link:
            faults.append(f"no mailto: or http: link: {link}")
        elif scheme in links:
            faults.append(f"a second {scheme}: link: {link}")
        else:
            links[scheme] = link
    return list(links.values()), faults


_COMMENT, _LINK = re.compile(r"\([^()]*\)"), re.compile(r"<([^<>]*)>")


class _Policy(Compat32):
    """Gives fields unfolded and as Unicode, and of each no more than is looked at."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        longest = LONGEST_MIME_FIELD if name.lower().startswith("content-") else LONGEST_FIELD
        return valid(" ".join(line.strip() for line in _LINE_END.split(value[:longest])))


_LINE_END = re.compile("\r\n|\r|\n")


class _Entity(email.message.Message):
    """An entity (RFC 2045 section 2.4), of which a mail can have only so many."""

    depth = 0

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.counted: list[_Entity] = []
        """The parts of the whole mail so far: all of them share one list."""

    def attach(self, payload: email.message.Message | str) -> None:
        """Add a part, as the parser does before it reads it."""
        assert isinstance(payload, _Entity)
        self.counted.append(payload)
        payload.counted = self.counted
        payload.depth = self.depth + 1
        if payload.depth > DEEPEST_PART or len(self.counted) > MOST_PARTS:
            raise ValueError("more parts than of any mail that is meant to be read")
        super().attach(payload)

    def own_content_type(self) -> str:
        return super().get_content_type()

    def get_content_type(self) -> str:
        """As the parser asks for it: it must not take a message in a message apart, whose bytes are a content."""
        own = super().get_content_type()
        return "application/octet-stream" if own.startswith("message/") else own


def _parsed(data: bytes) -> _Entity:
    policy = _Policy(message_factory=_Entity)
    whole = attempt(lambda: BytesParser(policy=policy).parsebytes(data), None)
    root = BytesHeaderParser(policy=policy).parsebytes(data) if whole is None else whole
    assert isinstance(root, _Entity)
    return root


def _parts(entity: _Entity, id: str = "") -> Iterator[Part]:
    """The tree's leaves, in the order of the mail."""
    if not entity.is_multipart():
        yield Part(id or "0", entity)
        return
    for number, part in enumerate(entity.get_payload(), 1):
        assert isinstance(part, _Entity)
        yield from _parts(part, f"{id}.{number}" if id else str(number))


def _parameter(entity: _Entity, field: str, name: str) -> str:
    """A parameter of a MIME field, in whatever way it writes what is not ASCII (RFC 2231, RFC 2047, or none)."""
    none: str | tuple[str | None, str | None, str] = ""
    value = attempt(lambda: entity.get_param(name, "", field), none)
    if isinstance(value, tuple):
        # Not: email.utils.collapse_rfc2231_value, because it takes any codec of Python for a charset.
        charset, _, encoded = value
        return text_of(encoded.encode("latin-1", "replace"), charset or "")
    return decoded(value)
