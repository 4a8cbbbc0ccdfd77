"""A session played for a target, and what holds for every session, whatever it is sent.

Invariants demanded: one end, and each transaction told once, never changed afterwards; every reply well formed
(RFC 5321 section 4.2); every line answered once and in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache

from smtpmock_cli import Configuration
from smtpmock_cli.log import escape
from smtpmock_cli.message import Message
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.rules import Script
from smtpmock_cli.smtp.session import Session
from smtpmock_cli.smtp.table import CommandTable
from tests.helpers import Played, feed, pull

_FIELDS = [name for name in Message.__slots__ if name != "__weakref__"]
_TEXT = rb"[^\x00-\x1f\x7f]*"
_WIRE = re.compile(rb"(?:[2-5]\d\d-%b\r\n)*[2-5]\d\d(?: %b)?\r\n" % (_TEXT, _TEXT)).fullmatch
_CODES = re.compile(rb"^...", re.MULTILINE).findall
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udc9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]").search
_HEADER = re.compile(
    rb"Return-Path: <%b>\r\nReceived: %b\r\n\tby %b\r\n\t%b\r\n" % (_TEXT, _TEXT, _TEXT, _TEXT)
).fullmatch
_TOO_LONG = "500"


class Heard(Played):
    """What a session told, with each message as it was when it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.as_told: list[str] = []

    def add(self, event: events.Event) -> None:
        super().add(event)
        if isinstance(event, events.TransactionEnded):
            self.as_told.append(shown(event.message))

    @property
    def has_ended(self) -> bool:
        return bool(self.events) and self.events[-1] is events.SESSION_ENDED

    def comparable(self) -> list[str]:
        return [shown(event) if isinstance(event, Message) else repr(event) for event in self.events]


def shown(message: Message) -> str:
    """All fields of a message, not only those of the record."""
    return repr([getattr(message, name) for name in _FIELDS])


@cache
def _table(settings: Configuration) -> CommandTable:
    return command_table(settings)


def table(settings: Configuration, stream: bytes) -> CommandTable:
    """A configuration's table; made anew where it gives challenges, so that they are the same each time."""
    return command_table(settings) if b"CRAM" in stream.upper() else _table(settings)


def converse(pieces: Iterable[bytes], table: CommandTable, script: Script | None = None) -> Heard:
    """Send a session these pieces, then the input's end; a TLS handshake succeeds."""
    session, heard = Session(table, script), Heard()
    feed(session, pieces, heard, _pull)
    assert heard.has_ended
    assert session.next_event() is events.SESSION_ENDED
    return heard


def _pull(session: Session, heard: Played) -> None:
    pull(session, heard)
    while session.state is State.SECURING:
        session.receive_tls("TLSv1.3")
        pull(session, heard)


def check_conversation(heard: Heard) -> None:
    """What holds whatever the configuration is."""
    assert heard.events.count(events.SESSION_ENDED) == 1
    assert heard.events[-1] is events.SESSION_ENDED
    check_replies(heard)
    messages = heard.messages
    assert messages
    assert len({id(message) for message in messages}) == len(messages)
    for message, as_told in zip(messages, heard.as_told, strict=True):
        assert shown(message) == as_told, "a message changed after it was told"
        check_texts(message)
    recipients = 0
    for event in heard.events:
        if isinstance(event, events.RequestReceived):
            assert "\n" not in event.line
            assert not _CONTROL(escape(event.line))
            recipients += event.line[:4].upper() == "RCPT"
    assert sum(len(message.rcptto_request_response) for message in messages) <= recipients


def check_replies(heard: Heard) -> None:
    """Nothing but digits, text and CRLF, and one code a reply."""
    wire = b""
    for event in heard.events:
        if isinstance(event, events.ReplyPart):
            wire += event.wire
        elif isinstance(event, events.Reply):
            wire += event.wire
            assert _WIRE(wire), wire
            assert len({*_CODES(wire)}) == 1, wire
            assert wire == event.line.encode("utf-8", "surrogateescape") + b"\r\n"
            wire = b""
    assert not wire, "a reply without its end"


def check_texts(message: Message) -> None:
    """Its forms for the outside: JSON is Unicode, and no text of the client's adds a line to the trace header."""
    json.dumps(message.as_json(), ensure_ascii=False).encode()
    mail = message.as_mail()
    assert mail.endswith(message.msg_request)
    header = mail[: len(mail) - len(message.msg_request)]
    assert _HEADER(header), header


def check_in_step(heard: Heard, stream: bytes) -> None:
    """For a session without rules and TLS: every line is told once, and answered once, in order."""
    groups: list[list[str]] = [[]]
    body_lines = 0
    for event in heard.events:
        if isinstance(event, events.RequestReceived):
            groups.append([])
        elif isinstance(event, events.Reply):
            groups[-1].append(event.line)
        elif isinstance(event, events.BodyReceived):
            body_lines += event.lines
    too_long = sum(line.startswith(_TOO_LONG) for group in groups for line in group)
    answers = [[line for line in group if not line.startswith(_TOO_LONG)] for group in groups]
    for number, group in enumerate(answers):
        may_wait = number == len(answers) - 1  # the input ended before its body did
        most = 2 if group and group[0].startswith("354") else 1
        assert (0 if may_wait else 1) <= len(group) <= most, group
    lines = len(groups) - 1 + body_lines + too_long
    if events.INPUT_ENDED in heard.events:
        assert stream.count(b"\n") in (lines, lines - (too_long > 0))
    else:
        assert stream.count(b"\n") >= lines


def check_message(message: Message, limit: int) -> None:
    """How the fields of a message go together where no rule interfered."""
    assert message.is_consistent == (message.mailfrom and message.rcptto and message.data and message.msg)
    assert len(message.msg_request) <= limit
    assert message.msg or not message.msg_request
    assert message.helo or not message.mailfrom
    assert message.mailfrom or not message.rcptto
    assert message.rcptto or not message.data
    assert message.data or not message.msg
    assert message.rcptto or not message.chunks
    assert bool(message.forward_paths) == message.rcptto
    assert len(message.forward_paths) <= len(message.rcptto_request_response)
    assert len(message.rcptto_parameters) in (0, len(message.forward_paths))
    assert not message.mailfrom or message.reverse_path in message.mailfrom_request
