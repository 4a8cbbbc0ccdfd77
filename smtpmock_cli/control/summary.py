"""Summary: what Mailpit's API shows of a mail, in its field names, and what a search looks at.

Invariant: a summary holds no body; a text that is short enough is kept as a search compares it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from ..message import Message
from .addresses import Address
from .exchange import Steps
from .mail import Mail, Part, read_mail, unsubscribe_links
from .search import ANYWHERE
from .text import normalize

SNIPPET_LENGTH = 200
_SNIPPET_SOURCE = 64 * SNIPPET_LENGTH
"""How much of a text is looked at for its snippet, in characters: some begin with much white space."""
KEPT_TEXT = 32 * 1024
"""How long a mail's text may be, in characters, to be kept; a longer one is read for each search."""
_HASHED_AT_ONCE = 1024 * 1024


class Summary:
    """A mail as a list shows it; made by :func:`read_summary`.

    :ivar shown: its fields, but for ``Read``.
    """

    __slots__ = ("_texts", "has_attachment", "has_inline", "shown")

    def __init__(self, mail: Mail, shown: dict[str, Any], texts: dict[str, str]) -> None:
        self.has_attachment = bool(mail.attachments)
        self.has_inline = bool(mail.inlines)
        self.shown = shown
        self._texts = texts

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return 4096 + 2 * sum(map(len, self._texts.values())) + 100 * sum(len(self.shown[name]) for name in _LISTS)

    def keeps(self, field: str) -> bool:
        """Whether a field's text is at hand."""
        return field in self._texts

    def text(self, message: Message, field: str) -> Steps[str]:
        """What a search compares: of one of its fields, or of the whole mail."""
        if field in self._texts:
            return self._texts[field]
        mail = yield from read_mail(message)
        return (yield from _searched_text(mail, self._texts))


_LISTS = ("To", "Cc", "Bcc", "ReplyTo")


def read_summary(message: Message) -> Steps[Summary]:
    mail = yield from read_mail(message)
    text = yield from mail.text()
    html_text = yield from mail.html_text()
    shown = {
        **_envelope(message, mail),
        "Created": _timestamp(mail.arrival),
        "Attachments": len(mail.attachments),
        "Snippet": _snippet(html_text or text),
    }
    texts = yield from _searched_fields(mail)
    anywhere = yield from _searched_text(mail, texts)
    if len(anywhere) <= KEPT_TEXT:
        texts[ANYWHERE] = anywhere
    return Summary(mail, shown, texts)


def read_fields(message: Message) -> Steps[dict[str, Any]]:
    """A whole mail, as its own endpoint shows it."""
    mail = yield from read_mail(message)
    return {
        **_envelope(message, mail),
        "Read": True,
        "ReturnPath": mail.return_path,
        "ListUnsubscribe": _unsubscribe(mail),
        "Date": _timestamp(mail.date),
        "Text": (yield from mail.text()),
        "HTML": (yield from mail.html()),
        "Inline": (yield from _attachments(mail.inlines)),
        "Attachments": (yield from _attachments(mail.attachments)),
    }


def _envelope(message: Message, mail: Mail) -> dict[str, Any]:
    """What a list and a mail's own endpoint have in common."""
    return {
        "ID": str(message.id),
        "MessageID": mail.field("message-id").strip("<> "),
        "From": _mailbox(mail.sender),
        "To": _mailboxes(mail.mailboxes["to"]),
        "Cc": _mailboxes(mail.mailboxes["cc"]),
        "Bcc": _mailboxes(mail.blind_copies),
        "ReplyTo": _mailboxes(mail.mailboxes["reply-to"]),
        "Subject": mail.field("subject"),
        "Username": "",
        "Tags": [],
        "Size": mail.size,
    }


def _mailbox(mailbox: Address) -> dict[str, str]:
    return {"Name": mailbox.name, "Address": mailbox.address}


def _mailboxes(mailboxes: list[Address]) -> list[dict[str, str]]:
    return [_mailbox(mailbox) for mailbox in mailboxes]


def _attachments(parts: list[Part]) -> Steps[list[dict[str, Any]]]:
    shown = []
    for part in parts:
        content = yield from part.content()
        checksums = yield from _checksums(content)
        shown.append(
            {
                "PartID": part.id,
                "FileName": part.file_name or part.content_id,
                "ContentType": part.content_type,
                "ContentID": part.content_id,
                "Size": len(content),
                "Checksums": checksums,
            }
        )
        yield
    return shown


def _checksums(content: bytes) -> Steps[dict[str, str]]:
    hashes = [hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha1", "sha256")]
    view = memoryview(content)
    for at in range(0, len(content), _HASHED_AT_ONCE):
        for one in hashes:
            one.update(view[at : at + _HASHED_AT_ONCE])
        yield
    return {one.name.upper(): one.hexdigest() for one in hashes}


def _unsubscribe(mail: Mail) -> dict[str, Any]:
    header = mail.field("list-unsubscribe")
    links, faults = unsubscribe_links(header) if header else ([], [])
    post = mail.field("list-unsubscribe-post")
    return {"Header": header, "Links": links, "Errors": "; ".join(faults), "HeaderPost": post}


def _snippet(text: str) -> str:
    text = " ".join(text[:_SNIPPET_SOURCE].split())
    return text if len(text) <= SNIPPET_LENGTH else text[:SNIPPET_LENGTH] + "..."


def _timestamp(date: datetime) -> str:
    # With an offset as digits, because Z is unknown to Python's fromisoformat before 3.11, which clients use.
    return date.isoformat(timespec="milliseconds")


def _searched_fields(mail: Mail) -> Steps[dict[str, str]]:
    mailboxes = {name: mail.mailboxes[name] for name in ("to", "cc", "reply-to")}
    mailboxes |= {"from": [mail.sender], "bcc": mail.blind_copies}
    texts: dict[str, str] = {}
    for name, of in mailboxes.items():
        texts[name] = yield from normalize(" ".join(f"{one.name} {one.address}" for one in of))
    texts["addressed"] = " ".join(texts.values())
    texts["subject"] = yield from normalize(mail.field("subject"))
    texts["message-id"] = yield from normalize(mail.field("message-id"))
    return texts


def _searched_text(mail: Mail, fields: dict[str, str]) -> Steps[str]:
    """All that a reader sees: who, what, the texts, and the attachments' names."""
    names = " ".join(part.file_name for part in mail.attachments)
    text = yield from mail.text()
    html_text = yield from mail.html_text()
    return (yield from normalize(fields["addressed"], fields["subject"], mail.return_path, text, html_text, names))
