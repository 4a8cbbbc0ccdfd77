"""Mail: an accepted message as its reader sees it.

Invariants: nothing here raises, whatever the bytes are; every text that is given is valid Unicode; a mail is read in
steps, and a content is decoded only when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from ..message import Message
from .addresses import Address, mailboxes
from .content import decoded_content
from .entity import LONGEST_FIELD, Entity, Fields, read_entities
from .exchange import Steps
from .text import attempt, decoded, decoded_text, html_to_text, text_of, valid

_ADDRESS_FIELDS = ("from", "to", "cc", "bcc", "reply-to")
_PARTS_A_STEP = 100


def read_mail(message: Message) -> Steps[Mail]:
    """A message as its reader sees it."""
    data = message.as_mail()
    fields, leaves, has_alternatives = yield from read_entities(data)
    parts: list[Part] = []
    for id, entity in leaves:
        parts.append(Part(id, entity, data))
        if len(parts) % _PARTS_A_STEP == 0:
            yield
    mail = Mail(message, len(data), fields, parts, has_alternatives=has_alternatives)
    for name in _ADDRESS_FIELDS:
        found: list[Address] = []
        for value in mail.fields.get(name, ()):
            found += yield from mailboxes(value)
        mail.mailboxes[name] = found
    return mail


class Part:
    """A part with a content of its own (RFC 2045 section 2.4).

    :param id: its place as Mailpit counts: ``1``, ``2``, within the second ``2.1``; alone it is ``0``.
    :param data: the mail that it is of.
    """

    __slots__ = ("_data", "_entity", "content_id", "content_type", "disposition", "file_name", "id")

    def __init__(self, id: str, entity: Entity, data: bytes) -> None:
        self.id = id
        self._entity = entity
        self._data = data
        self.content_type = attempt(entity.mime.get_content_type, "application/octet-stream")
        self.disposition = attempt(entity.mime.get_content_disposition, None) or ""
        self.file_name = _parameter(entity, "Content-Disposition", "filename")
        self.file_name = self.file_name or _parameter(entity, "Content-Type", "name")
        self.content_id = entity.mime.get("Content-ID", "").strip("<> ")

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

    def content(self) -> Steps[bytes]:
        """The decoded content, byte for byte; unchanged where its encoding is unknown."""
        encoding = self._entity.mime.get("Content-Transfer-Encoding", "")
        return decoded_content(self._data, self._entity.start, self._entity.end, encoding)

    def text(self) -> Steps[str]:
        content = yield from self.content()
        return (yield from decoded_text(content, self.charset))


class Mail:
    """A message's header fields, texts and parts; made by :func:`read_mail`."""

    def __init__(
        self, message: Message, size: int, fields: Fields, parts: list[Part], *, has_alternatives: bool
    ) -> None:
        self._message = message
        self.size = size
        self.fields: dict[str, list[str]] = {}
        """By lower-cased name, unfolded, encoded-words as they stand."""
        for name, value in fields:
            self.fields.setdefault(name.lower(), []).append(value)
        self.mailboxes: dict[str, list[Address]] = {}
        """Those of each address field by its lower-cased name."""
        self.parts = parts
        self._has_alternatives = has_alternatives
        self._html: str | None = None
        self._html_text: str | None = None
        self._text: str | None = None

    def field(self, name: str) -> str:
        """The first field of this lower-cased name, decoded; empty where there is none."""
        return decoded(self.fields.get(name, [""])[0][:LONGEST_FIELD])

    @property
    def sender(self) -> Address:
        """The first mailbox of From; what is none stands as a name."""
        return (self.mailboxes["from"] or [Address(self.field("from"), "")])[0]

    @cached_property
    def blind_copies(self) -> list[Address]:
        """The envelope's recipients that stand in no field, then those of Bcc."""
        shown = [mailbox for name in ("to", "cc", "bcc") for mailbox in self.mailboxes[name]]
        known = {mailbox.address.lower() for mailbox in shown}
        paths = dict.fromkeys(valid(path) for path in self._message.forward_paths)
        return [Address("", path) for path in paths if path.lower() not in known] + self.mailboxes["bcc"]

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

    def html(self) -> Steps[str]:
        if self._html is None:
            part = next(self._texts("text/html"), None)
            self._html = (yield from part.text()) if part is not None else ""
        return self._html

    def html_text(self) -> Steps[str]:
        """What a reader of the HTML sees."""
        if self._html_text is None:
            self._html_text = yield from html_to_text((yield from self.html()))
        return self._html_text

    def text(self) -> Steps[str]:
        """The plain texts; where there is none, the HTML's."""
        if self._text is None:
            parts = list(self._texts("text/plain"))
            if self._has_alternatives:
                del parts[1:]
            texts: list[str] = []
            for part in parts:
                texts.append((yield from part.text()))
                yield
            self._text = "\n--\n".join(texts) or (yield from self.html_text())
        return self._text

    @cached_property
    def attachments(self) -> list[Part]:
        return [part for part in self.parts if part.is_attachment]

    @cached_property
    def inlines(self) -> list[Part]:
        return [part for part in self.parts if part.is_inline]

    def _texts(self, text_type: str) -> Iterator[Part]:
        return (part for part in self.parts if part.text_type == text_type and not part.is_attachment)


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


def _parameter(entity: Entity, field: str, name: str) -> str:
    """A parameter of a MIME field, in whatever way it writes what is not ASCII (RFC 2231, RFC 2047, or none)."""
    none: str | tuple[str | None, str | None, str] = ""
    value = attempt(lambda: entity.mime.get_param(name, "", field), none)
    if isinstance(value, tuple):
        # Not: email.utils.collapse_rfc2231_value, because it takes any codec of Python for a charset.
        charset, _, encoded = value
        return text_of(encoded.encode("latin-1", "replace"), charset or "")
    return decoded(value)
