from __future__ import annotations

import email
import email.policy
import email.utils
from datetime import datetime

import pytest

from smtpmock_cli import Configuration, Message, Rule
from tests.helpers import BODY, ENVELOPE, MAIL, RCPT, TRANSACTION, play, play_pieces


def kept(sent: bytes) -> Message:
    """The message of these commands, as a server keeps it."""
    message = play(sent).messages[0]
    message.id, message.received_at = 7, 1_700_000_000.0
    message.client_address, message.server_address = "192.0.2.1", "2001:db8::1"
    return message


@pytest.mark.parametrize(("verb", "protocol"), [(b"EHLO", "ESMTP"), (b"helo", "SMTP")])
def test_mail_form_begins_with_its_trace(verb: bytes, protocol: str) -> None:
    mail = kept(TRANSACTION.replace(b"HELO", verb)).as_mail()
    header, body = mail.split(b"Subject:", 1)
    assert b"Subject:" + body == BODY
    parsed = email.message_from_bytes(header, policy=email.policy.default)
    assert parsed["Return-Path"] == "<a@example.com>"
    trace, _, date = parsed["Received"].rpartition("; ")
    assert trace == (f"from example.com ([192.0.2.1])\tby [IPv6:2001:db8::1] with {protocol} id 7\tfor <b@example.com>")
    assert email.utils.parsedate_to_datetime(date).timestamp() == 1_700_000_000
    assert isinstance(email.utils.parsedate_to_datetime(date), datetime)
    assert all(line.endswith(b"\r\n") for line in header.splitlines(keepends=True))


def test_blind_copies_stay_blind() -> None:
    two = ENVELOPE + RCPT.replace(b"b@", b"c@") + b"DATA\r\n" + BODY + b".\r\n"
    message = play_pieces([two], Configuration(multiple_rcptto=True)).messages[0]
    assert message.forward_paths == ["b@example.com", "c@example.com"]
    assert b"for <" not in message.as_mail()


def test_a_record_of_nothing_has_a_mail_form_too() -> None:
    mail = kept(b"")
    assert mail.as_mail().startswith(b"Return-Path: <>\r\nReceived: from [192.0.2.1] ([192.0.2.1])\r\n")


def test_control_characters_that_a_rule_accepted_are_escaped_in_the_trace() -> None:
    """Else a client could add fields to a header that is ours."""
    rule = Rule(on=["helo", "mail", "rcpt"], reply="250 Fine")
    sent = b"HELO a\rX-One: 1\r\nMAIL FROM:<b\rX-Two: 2\x00\x1b[2J>\r\nRCPT TO:<c\rX-Three: 3>\r\nQUIT\r\n"
    mail = play(sent, Configuration(rules=[rule])).messages[0].as_mail()
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert [name for name, _ in parsed.items()] == ["Return-Path", "Received"]
    assert mail.startswith(b"Return-Path: <b\\x0dX-Two: 2\\x00\\x1b[2J>\r\nReceived: from a\\x0dX-One: 1 (")
    assert b"for <c\\x0dX-Three: 3>; " in mail


def test_what_ends_a_line_or_turns_text_around_is_escaped_in_the_trace() -> None:
    rule = Rule(on=["helo", "mail", "rcpt"], reply="250 Fine")
    sent = "HELO a\u2028b\r\nMAIL FROM:<b\u202e>\r\nRCPT TO:<c\x85".encode() + b"\x9b>\r\nQUIT\r\n"
    mail = play(sent, Configuration(rules=[rule])).messages[0].as_mail()
    assert mail.startswith(b"Return-Path: <b\\u202e>\r\nReceived: from a\\u2028b (")
    assert b"for <c\\x85\\x9b>; " in mail


def test_the_body_is_not_touched() -> None:
    body = b"From me\r\n\xff\x00\r\n"
    message = kept(ENVELOPE + b"DATA\r\n" + body + b".\r\n")
    assert message.msg_request == body
    assert message.as_mail().endswith(b"\r\n" + body)


def test_repr_says_how_far_it_got() -> None:
    assert repr(kept(ENVELOPE)) == (
        "<Message 7: from <a@example.com> to ['b@example.com'], 0 bytes, succeeded: helo, mailfrom, rcptto>"
    )
    assert "nothing" in repr(kept(MAIL))


def test_the_record_has_every_field_in_order() -> None:
    assert tuple(Message().as_dict()) == Message.RECORD_FIELDS
