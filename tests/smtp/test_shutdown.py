"""A session whose server shuts down: with ESMTP it says so (RFC 5321 section 3.8), when the client can take it in."""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.session import LINE_LIMIT, Session
from tests.helpers import ENVELOPE, HELO, MAIL, TRANSACTION, Played, feed, pull, script

GOODBYE = "421 4.3.2 Service not available, closing transmission channel"
EHLO = b"EHLO example.com\r\n"
HANG = Rule(on="noop", then="hang")


def shut_down(sent: bytes, *, is_the_moment: bool, **settings: Any) -> tuple[Session, Played, int]:
    """The session after these bytes and a shutdown, what it told, and how much of that before the shutdown."""
    configuration = Configuration(**settings)
    session, played = Session(command_table(configuration), script(configuration)), Played()
    feed(session, [sent], played, then_end=False)
    told = len(played.events)
    assert session.shut_down() is is_the_moment
    pull(session, played)
    return session, played, told


WAITING = {
    "greeted": b"",
    "HELO": HELO,
    "half a command": EHLO + MAIL[:7],
    "RCPT": ENVELOPE,
    "a complete message": TRANSACTION,
    "a refused command": b"FOO\r\n",
    "a line too long": b"x" * LINE_LIMIT,
    "between two chunks": ENVELOPE + b"BDAT 2\r\nhi",
    "AUTH's challenge": EHLO + b"AUTH LOGIN\r\n",
}


@pytest.mark.parametrize("sent", WAITING.values(), ids=WAITING.keys())
def test_a_client_that_can_speak_is_told(sent: bytes) -> None:
    extended = {"extensions": ["CHUNKING", "ENHANCEDSTATUSCODES"], "auth_users": ["joe:secret"]}
    _, played, told = shut_down(sent, is_the_moment=True, **extended)
    message, *rest = played.events[told:]
    assert [message] == played.messages, "stored before the reply is out"
    assert rest == [events.Reply(GOODBYE), events.SESSION_ENDED]


def test_without_status_codes_it_has_none() -> None:
    assert shut_down(EHLO, is_the_moment=True, extensions=["SIZE"])[1].replies[-1] == GOODBYE.replace("4.3.2 ", "")


BUSY = {
    "body": (ENVELOPE + b"DATA\r\nHel", State.BODY),
    "chunk": (ENVELOPE + b"BDAT 9\r\nHel", State.BODY),
    "hung by a rule": (b"NOOP\r\n", State.HUNG),
    "TLS handshake": (EHLO + b"STARTTLS\r\n", State.SECURING),
    "over": (b"QUIT\r\n", State.ENDED),
}


@pytest.mark.parametrize(("sent", "state"), BUSY.values(), ids=BUSY.keys())
def test_a_client_that_cannot_is_not(sent: bytes, state: State) -> None:
    extended = {"extensions": ["CHUNKING"], "rules": [HANG], "tls_cert": "unread.pem"}
    session, played, told = shut_down(sent, is_the_moment=False, **extended)
    assert played.events[told:] in ([], [events.SESSION_ENDED])
    assert session.state is state


@pytest.mark.parametrize("settings", [{}, {"tls_cert": "unread.pem"}, {"auth_users": ["joe:secret"]}], ids=str)
def test_without_esmtp_nobody_is(settings: dict[str, Any]) -> None:
    session, played, told = shut_down(EHLO, is_the_moment=False, **settings)
    assert played.events[told:] == []
    assert session.state is State.COMMAND
