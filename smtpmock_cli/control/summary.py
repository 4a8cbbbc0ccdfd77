"""Summary: what Mailpit's API shows of a mail, in its field names, and what a search looks at.

Invariant: a summary holds no body; a text that is short enough is kept as a search compares it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from ..message import Message
from .mail import Address, Mail, Part, unsubscribe_links
from .search import ANYWHERE
from .text import stripped, words

SNIPPET_LENGTH = 200
KEPT_TEXT = 32 * 1024
"""How long a mail's text may be, in characters, to be kept; a longer one is read for each search."""


class Summary:
    """A mail as a list shows it.

    :ivar shown: its fields, but for ``Read``.
    """

    __slots__ = ("_texts", "has_attachment", "has_inline", "shown")

    def __init__(self, message: Message) -> None:
        mail = Mail(message)
        self.has_attachment = bool(mail.attachments)
        self.has_inline = bool(mail.inlines)
        self.shown = {
            **_envelope(message, mail),
            "Created": _timestamp(mail.arrival),
            "Attachments": len(mail.attachments),
            "Snippet": _snippet(mail),
        }
        self._texts = _searched_fields(mail)
        anywhere = _searched_text(mail, self._texts)
        if len(anywhere) <= KEPT_TEXT:
            self._texts[ANYWHERE] = anywhere

    def text(self, message: Message, field: str) -> str:
        """What a search compares: of one of its fields, or of the whole mail."""
        return self._texts[field] if field in self._texts else _searched_text(Mail(message), self._texts)


def as_json(message: Message, mail: Mail) -> dict[str, Any]:
    """A whole mail, as its own endpoint shows it."""
    return {
        **_envelope(message, mail),
        "Read": True,
        "ReturnPath": mail.return_path,
        "ListUnsubscribe": _unsubscribe(mail),
        "Date": _timestamp(mail.date),
        "Text": mail.text,
        "HTML": mail.html,
        "Inline": [_attachment(part) for part in mail.inlines],
        "Attachments": [_attachment(part) for part in mail.attachments],
    }


def _envelope(message: Message, mail: Mail) -> dict[str, Any]:
    """What a list and a mail's own endpoint have in common."""
    return {
        "ID": str(message.id),
        "MessageID": mail.field("message-id").strip("<> "),
        "From": _mailbox(mail.sender),
        "To": _mailboxes(mail.addresses("to")),
        "Cc": _mailboxes(mail.addresses("cc")),
        "Bcc": _mailboxes(mail.blind_copies),
        "ReplyTo": _mailboxes(mail.addresses("reply-to")),
        "Subject": mail.field("subject"),
        "Username": "",
        "Tags": [],
        "Size": mail.size,
    }


def _mailbox(mailbox: Address) -> dict[str, str]:
    return {"Name": mailbox.name, "Address": mailbox.address}


def _mailboxes(mailboxes: list[Address]) -> list[dict[str, str]]:
    return [_mailbox(mailbox) for mailbox in mailboxes]


def _attachment(part: Part) -> dict[str, Any]:
    content = part.content()
    return {
        "PartID": part.id,
        "FileName": part.file_name or part.content_id,
        "ContentType": part.content_type,
        "ContentID": part.content_id,
        "Size": len(content),
        "Checksums": {
            name.upper(): hashlib.new(name, content, usedforsecurity=False).hexdigest()
            for name in ("md5", "sha1", "sha256")
        },
    }


def _unsubscribe(mail: Mail) -> dict[str, Any]:
    header = mail.field("list-unsubscribe")
    links, faults = unsubscribe_links(header) if header else ([], [])
    post = mail.field("list-unsubscribe-post")
    return {"Header": header, "Links": links, "Errors": "; ".join(faults), "HeaderPost": post}


def _snippet(mail: Mail) -> str:
    text = " ".join((stripped(mail.html) or mail.text).split())
    return text if len(text) <= SNIPPET_LENGTH else text[:SNIPPET_LENGTH] + "..."


def _timestamp(date: datetime) -> str:
    # With an offset as digits, because Z is unknown to Python's fromisoformat before 3.11, which clients use.
    return date.isoformat(timespec="milliseconds")


def _searched_fields(mail: Mail) -> dict[str, str]:
    mailboxes = {name: mail.addresses(name) for name in ("to", "cc", "reply-to")}
    mailboxes |= {"from": [mail.sender], "bcc": mail.blind_copies}
    texts = {name: words(" ".join(f"{one.name} {one.address}" for one in of)) for name, of in mailboxes.items()}
    texts["addressed"] = " ".join(texts.values())
    texts["subject"] = words(mail.field("subject"))
    texts["message-id"] = words(mail.field("message-id"))
    return texts


def _searched_text(mail: Mail, fields: dict[str, str]) -> str:
    """All that a reader sees: who, what, the texts, and the attachments' names."""
    names = " ".join(part.file_name for part in mail.attachments)
    texts = f"{mail.return_path} {mail.text} {stripped(mail.html)} {names}"
    return f"{fields['addressed']} {fields['subject']} {words(texts)}"
