"""Mail clients that people use: what they send arrives byte for byte, and they see a refusal."""

from __future__ import annotations

import re
import smtplib
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Message, Server
from tests.helpers import PATIENCE

from . import tools
from .clients import CLIENTS, HOST, NAME, Client, Sending, found, run
from .mail import MAIL_BYTES, RECIPIENTS, SENDER, check_contents, parsed

each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())


def test_the_mail_is_a_hard_one() -> None:
    assert b"\r\n.\r\n" in MAIL_BYTES
    assert re.search(rb"[^\r]\n", MAIL_BYTES) is None
    check_contents(parsed(MAIL_BYTES))


@each_client
def test_mail_arrives_as_it_was_sent(client: Client, tmp_path: Path) -> None:
    with Server() as server:
        said = client.send(Sending(server.port_number, RECIPIENTS[:1], tmp_path))
        assert said.startswith("exit 0"), said
        (message,) = server.wait_for_messages(1, PATIENCE)
    check_message(message, RECIPIENTS[:1])
    assert server.messages() == [message]


@each_client
def test_mail_to_several(client: Client, tmp_path: Path) -> None:
    with Server(Configuration(multiple_rcptto=True)) as server:
        said = client.send(Sending(server.port_number, RECIPIENTS, tmp_path))
        assert said.startswith("exit 0"), said
        (message,) = server.wait_for_messages(1, PATIENCE)
    check_message(message, RECIPIENTS)


@each_client
def test_refused_recipient(client: Client, tmp_path: Path) -> None:
    with Server(Configuration(not_registered_emails=RECIPIENTS[:1])) as server:
        said = client.send(Sending(server.port_number, RECIPIENTS[:1], tmp_path))
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert re.match(client.recipient_refused, said, re.DOTALL), said
    refusal = (f"RCPT TO:<{RECIPIENTS[0]}>", "550 User not found")
    # A client that gives up by RSET (smtplib does) has it forgotten, as the reference does.
    assert message.rcptto_request_response == ([] if message.rset else [refusal])
    assert not message.is_consistent


@each_client
def test_mail_over_the_limit(client: Client, tmp_path: Path) -> None:
    with Server(Configuration(msg_size_limit=len(MAIL_BYTES) - 1)) as server:
        said = client.send(Sending(server.port_number, RECIPIENTS[:1], tmp_path))
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert re.match(client.too_big, said, re.DOTALL), said
    assert message.msg_request == b""
    assert not message.is_consistent


def test_smtplib_sends_several_messages_over_one_connection() -> None:
    with Server(Configuration(multiple_message_receiving=True)) as server:
        with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as smtp:
            for number in range(3):
                assert smtp.sendmail(f"{number}@example.com", RECIPIENTS[0], MAIL_BYTES) == {}
                assert smtp.rset() == (250, b"Ok")
        messages = server.wait_for_messages(3, PATIENCE)
    assert [message.reverse_path for message in messages] == [f"{number}@example.com" for number in range(3)]
    assert all(message.is_consistent and message.rset for message in messages)
    assert [message.msg_request for message in messages] == [MAIL_BYTES] * 3
    assert server.messages() == messages


def test_smtplib_reports_the_recipient_that_was_refused_and_sends_to_the_other() -> None:
    settings = Configuration(multiple_rcptto=True, not_registered_emails=RECIPIENTS[:1])
    with Server(settings) as server:
        with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as smtp:
            assert smtp.sendmail(SENDER, RECIPIENTS, MAIL_BYTES) == {RECIPIENTS[0]: (550, b"User not found")}
        (message,) = server.wait_for_messages(1, PATIENCE)
    check_message(message, RECIPIENTS[1:])


def check_message(message: Message, recipients: list[str]) -> None:
    assert message.is_consistent
    assert message.reverse_path == SENDER
    assert message.forward_paths == recipients
    assert message.msg_request == MAIL_BYTES
    check_contents(parsed(message.msg_request))
    check_delivered(message)


def check_delivered(message: Message) -> None:
    delivered = message.as_mail()
    assert delivered.endswith(message.msg_request)
    mail = parsed(delivered)
    assert mail.keys()[:2] == ["Return-Path", "Received"]
    assert mail["Return-Path"] == f"<{SENDER}>"
    check_contents(mail)


SESSIONS, MAILS = 10, 200


def load(server: Server, *options: str) -> str:
    envelope = ("-M", NAME, "-f", SENDER, "-t", RECIPIENTS[0])
    amount = ("-s", str(SESSIONS), "-m", str(MAILS), "-l", "1024")
    return run(found(tools.smtp_source), *envelope, *amount, *options, f"inet:{HOST}:{server.port_number}")


def test_load_in_parallel_sessions() -> None:
    with Server() as server:
        assert load(server) == "exit 0\n"
        messages = server.wait_for_messages(MAILS, PATIENCE)
    assert_all_alike(messages)
    assert server.messages() == messages


@pytest.mark.parametrize("several", [False, True])
def test_load_over_kept_connections(*, several: bool) -> None:
    """A session without RSET between its messages keeps the last, as the reference does."""
    with Server(Configuration(multiple_message_receiving=several)) as server:
        assert load(server, "-d") == "exit 0\n"
        messages = server.wait_for_messages(SESSIONS, PATIENCE)
    assert_all_alike(messages)
    assert server.messages() == messages


def assert_all_alike(messages: list[Message]) -> None:
    """Whole, and the same to the byte but for the Message-Id."""
    assert all(message.is_consistent for message in messages)
    assert {message.reverse_path for message in messages} == {SENDER}
    assert {tuple(message.forward_paths) for message in messages} == {(RECIPIENTS[0],)}
    bodies = {message.msg_request.partition(b"\r\n\r\n")[2] for message in messages}
    assert [len(body) >= 1024 for body in bodies] == [True]


def test_load_sees_a_refusal() -> None:
    with Server(Configuration(not_registered_emails=RECIPIENTS)) as server:
        said = load(server)
    assert re.match(r"exit 1\n.*550 User not found", said, re.DOTALL), said
