"""What a session remembers and bears at the most, each bound at its edge."""

from __future__ import annotations

import pytest

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.smtp import dialogue, session
from smtpmock_cli.smtp.dialogue import LINES_LIMIT
from smtpmock_cli.smtp.session import LINE_LIMIT
from smtpmock_cli.smtp.transaction import RECIPIENT_LIMIT
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, RCPT, Played, play, play_pieces

DATA = b"DATA\r\n" + BODY + b".\r\n"
TOO_MANY_LINES = "421 Too many commands without a message"


def answered(*pieces: bytes, settings: Configuration | None = None) -> Played:
    """Too long to be cut everywhere; that cuts do not matter is shown by what is shorter."""
    return play_pieces(pieces, settings or Configuration())


@pytest.mark.parametrize(
    ("settings", "ok", "too_many"),
    [
        ({}, "250 Received", "452 Too many recipients"),
        ({"esmtp": True}, "250 2.1.5 Received", "452 4.5.3 Too many recipients"),
        ({"extensions": ["SIZE"]}, "250 Received", "452 Too many recipients"),
    ],
)
def test_recipients_of_a_message(settings: dict[str, object], ok: str, too_many: str) -> None:
    several = Configuration(multiple_rcptto=True, **settings)  # type: ignore[arg-type]
    played = answered(HELO + MAIL + RCPT * (RECIPIENT_LIMIT + 2) + DATA + b"QUIT\r\n", settings=several)
    replies = played.replies[3 : 3 + RECIPIENT_LIMIT + 2]
    assert replies == [ok] * RECIPIENT_LIMIT + [too_many] * 2
    (message,) = played.messages
    assert message.is_consistent
    assert len(message.rcptto_request_response) == len(message.forward_paths) == RECIPIENT_LIMIT
    assert len(message.rcptto_parameters) in (0, RECIPIENT_LIMIT)


def test_refused_recipients_count_too() -> None:
    settings = Configuration(multiple_rcptto=True, not_registered_emails=["b@example.com"])
    played = answered(HELO + MAIL + RCPT * (RECIPIENT_LIMIT + 1), settings=settings)
    assert played.replies[-2:] == ["550 User not found", "452 Too many recipients"]


def test_each_message_has_its_recipients() -> None:
    settings = Configuration(multiple_rcptto=True, multiple_message_receiving=True)
    full = MAIL + RCPT * RECIPIENT_LIMIT + DATA + b"RSET\r\n"
    played = answered(HELO + full + full + b"QUIT\r\n", settings=settings)
    assert not any(reply.startswith("452") for reply in played.replies)
    assert [len(message.forward_paths) for message in played.messages] == [RECIPIENT_LIMIT] * 2


def test_recipients_that_a_rule_accepts_are_remembered_within_the_bound() -> None:
    rule = Rule(on="rcpt", reply="250 By a rule")
    for settings in ({}, {"esmtp": True}):
        several = Configuration(multiple_rcptto=True, rules=[rule], **settings)  # type: ignore[arg-type]
        played = answered(HELO + MAIL + RCPT * (RECIPIENT_LIMIT + 5) + DATA, settings=several)
        (message,) = played.messages
        assert played.replies[3:-2] == ["250 By a rule"] * (RECIPIENT_LIMIT + 5)
        assert len(message.rcptto_request_response) == RECIPIENT_LIMIT
        assert len(message.forward_paths) == RECIPIENT_LIMIT


def test_without_several_recipients_there_is_no_bound() -> None:
    played = answered(HELO + MAIL + RCPT * (RECIPIENT_LIMIT + 2) + DATA)
    assert set(played.replies[1:-2]) == {"250 Received"}
    assert len(played.messages[0].rcptto_request_response) == 1


def test_commands_before_a_body() -> None:
    played = answered(b"NOOP\r\n" * (LINES_LIMIT + 5))
    assert len(played.replies) == 1 + LINES_LIMIT + 1
    assert played.replies[-2:] == ["250 Ok", TOO_MANY_LINES]
    assert played.has_ended
    assert len(played.messages) == 1


@pytest.fixture
def ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows takes the way of the bound itself, which is shown above."""
    monkeypatch.setattr(dialogue, "LINES_LIMIT", 10)
    monkeypatch.setattr(session, "LINES_LIMIT", 10)


@pytest.mark.usefixtures("ten_lines")
@pytest.mark.parametrize(
    ("settings", "sent", "last"),
    [
        ({}, b"NOOP\r\n", TOO_MANY_LINES),
        ({}, b"FOO\r\n", TOO_MANY_LINES),
        ({"esmtp": True}, b"NOOP\r\n", "421 4.7.0 Too many commands without a message"),
        ({"extensions": ["CHUNKING"]}, ENVELOPE + b"BDAT 0\r\n", TOO_MANY_LINES),
        ({"auth_users": ["joe:secret"]}, b"EHLO example.com\r\nAUTH PLAIN\r\n*\r\n", TOO_MANY_LINES),
        ({"multiple_message_receiving": True}, HELO + MAIL + b"RSET\r\n", TOO_MANY_LINES),
    ],
)
def test_whatever_is_no_body_counts(settings: dict[str, object], sent: bytes, last: str) -> None:
    played = play(sent * 11, Configuration(**settings))  # type: ignore[arg-type]
    assert len(played.replies) == 1 + 10 + 1
    assert played.replies[-1] == last
    assert played.has_ended


@pytest.mark.usefixtures("ten_lines")
@pytest.mark.parametrize(("lines", "last"), [(10, "250 Ok"), (11, TOO_MANY_LINES)])
def test_a_body_gives_as_many_commands_again(lines: int, last: str) -> None:
    for settings in (Configuration(), Configuration(msg_size_limit=1)):
        played = play(ENVELOPE + b"NOOP\r\n" * 6 + DATA + b"NOOP\r\n" * lines, settings)
        assert played.replies[-1] == last


@pytest.mark.usefixtures("ten_lines")
def test_lines_that_are_too_long_count_too() -> None:
    too_long = b"x" * LINE_LIMIT + b"\r\n"
    played = answered(*[too_long] * 12)
    assert played.replies[1:] == ["500 Line too long"] * 10 + [TOO_MANY_LINES]
    assert played.has_ended
