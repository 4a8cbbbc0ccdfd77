"""Occasion: something that a rule may fire on, and what its conditions are held against."""

from __future__ import annotations

from collections.abc import Callable

from ..message import Message

Connections = Callable[[int, str | None], int]
"""How many sessions are open, that of this number included; only those of a client's address, where one is given."""

_HEAD_SEARCHED = 64 * 1024
"""How many bytes of a body can hold its subject."""
_LONGEST_DECODED = 4096
"""The longest subject that is decoded, in characters."""


class Occasion:
    """Something that a rule may fire on, in one session.

    :param on: one of the rule's occasions.
    :param text: what ``match`` is held against.
    :param sender: the reverse path, MAIL's own too; None before there is one.
    :param message: the transaction so far, without the command's own address.
    """

    __slots__ = ("_known", "client", "message", "on", "sender", "session", "text")

    def __init__(self, on: str, text: str, session: int, client: str, sender: str | None, message: Message) -> None:
        self.on = on
        self.text = text
        self.session = session
        self.client = client
        self.sender = sender
        self.message = message
        self._known: dict[str | bool, int] | None = None

    @property
    def recipients(self) -> list[str]:
        """The forward paths; at RCPT, that one."""
        return [self.text] if self.on == "rcpt" else self.message.forward_paths

    def key(self, per: str) -> int:
        """Whom to count for, as a number: addresses may be long, and many."""
        if per == "session":
            return self.session
        known = self._known = self._known or {}
        if per not in known:
            known[per] = self._key(per)
        return known[per]

    def crowd(self, connections: Connections, *, of_client: bool) -> int:
        """How many sessions are open, those of this client or all; counted once, because there may be thousands."""
        known = self._known = self._known or {}
        if of_client not in known:
            known[of_client] = connections(self.session, self.client if of_client else None)
        return known[of_client]

    def _key(self, per: str) -> int:
        if per == "client":
            return hash(self.client)
        sender = (self.sender or "").lower()
        if per == "sender":
            return hash(sender)
        recipients = tuple(path.lower() for path in self.recipients)
        return hash(recipients if per == "recipient" else (self.client, sender, recipients))


def said(on: str, line: str) -> str:
    """What a line says, valid or not: the path of MAIL and RCPT, what follows another command's word, or all."""
    if on == "unknown":
        return line
    if on not in ("mail", "rcpt"):
        return line.partition(" ")[2]
    path = line.partition(":")[2].strip()
    return path[1:].partition(">")[0] if path.startswith("<") else path.partition(" ")[0]


def subject(body: bytes) -> str:
    """The subject of a message, decoded; empty where it has none (RFC 5322 section 3.6.5, RFC 2047)."""
    head = b"\n" + body[:_HEAD_SEARCHED].partition(b"\r\n\r\n")[0]
    if b"\nsubject" not in head.lower():
        return ""
    head = head.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for field in head.replace(b"\n ", b" ").replace(b"\n\t", b" ").split(b"\n"):
        name, _, value = field.partition(b":")
        if name.rstrip().lower() == b"subject":
            return _decoded(value.decode("utf-8", "replace").strip())
    return ""


def _decoded(text: str) -> str:
    if "=?" not in text or len(text) > _LONGEST_DECODED:
        return text
    from email.errors import MessageError  # only here: few subjects need it, and no start does
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(text)))
    except (AssertionError, AttributeError, LookupError, MessageError, TypeError, ValueError):
        return text  # the library trips over what it did not foresee in more ways than it says
