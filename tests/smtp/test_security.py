"""TLS in a session that knows no TLS: what it demands, forgets and tells; fed whole and cut everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.session import Session
from tests.helpers import ENVELOPE, HELO, MAIL, RCPT, TRANSACTION, Played, pull, script

EHLO = b"EHLO example.com\r\n"
AUTH = b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"
"""By joe, whose password is secret."""


def configured(mode: str = "starttls", **settings: Any) -> Configuration:
    return Configuration(tls_cert="unread.pem", tls_mode=mode, **settings)


def begun(settings: Configuration, before: bytes, *, byte_by_byte: bool) -> tuple[Session, Played]:
    session, played = Session(command_table(settings), script(settings)), Played()
    pull(session, played)
    for piece in [before[i : i + 1] for i in range(len(before))] if byte_by_byte else [before]:
        session.receive_data(piece)
        pull(session, played)
    return session, played


def secured(before: bytes, after: bytes, settings: Configuration) -> Played:
    """What is told of bytes in plaintext and then in TLS, however they are cut."""
    told = []
    for byte_by_byte in (False, True):
        session, played = begun(settings, before, byte_by_byte=byte_by_byte)
        assert session.state is State.SECURING
        session.receive_tls("TLSv1.3")
        pull(session, played)
        for piece in [after[i : i + 1] for i in range(len(after))] if byte_by_byte else [after]:
            session.receive_data(piece)
            pull(session, played)
        session.receive_end()
        pull(session, played)
        told.append(played)
    assert told[0].comparable() == told[1].comparable()
    return told[0]


def test_starttls_is_told_after_its_reply() -> None:
    _, played = begun(configured(), EHLO + b"StartTLS\r\n", byte_by_byte=True)
    assert played.replies[1:] == ["250-Received\r\n250 STARTTLS", "220 Ready to start TLS"]
    assert played.events[-2:] == [events.Reply("220 Ready to start TLS"), events.START_TLS]


def test_it_forgets_everything_before_it() -> None:
    played = secured(TRANSACTION + b"STARTTLS\r\n", RCPT + MAIL + EHLO + b"STARTTLS\r\n", configured())
    assert [reply[:3] for reply in played.replies[-4:]] == ["503", "503", "250", "503"]
    assert played.replies[-2] == "250 Received"
    (message,) = played.messages
    assert (message.tls, message.helo, message.mailfrom, message.msg_request) == ("TLSv1.3", True, False, b"")


def test_it_drops_what_came_in_plaintext_behind_it() -> None:
    session, played = begun(configured(), HELO + b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\nQU", byte_by_byte=False)
    assert played.events[-1] is events.START_TLS
    session.receive_tls("TLSv1.2")
    session.receive_data(b"IT\r\n")
    pull(session, played)
    assert played.replies[-1][:3] == "502"
    assert not session.message.mailfrom_request


@pytest.mark.parametrize("before", [b"", b"EHLO\r\n", b"NOOP\r\n", EHLO + b"EHLO x y\r\n"])
@pytest.mark.parametrize("mode", ["starttls", "required"])
def test_auth_in_tls_has_to_wait_for_another_ehlo(mode: str, before: bytes) -> None:
    settings = configured(mode, auth_users=["joe:secret"])
    played = secured(EHLO + b"STARTTLS\r\n", before + AUTH + EHLO + AUTH, settings)
    assert played.replies[-3:-2] == ["503 Bad sequence of commands. EHLO should be used again after STARTTLS"]
    assert played.replies[-1] == "235 Authentication successful"


def test_auth_before_starttls_has_to_wait_for_the_first() -> None:
    settings = configured(auth_users=["joe:secret"])
    _, played = begun(settings, AUTH, byte_by_byte=True)
    assert played.replies[-1] == "503 Bad sequence of commands. AUTH should be used after EHLO"


def test_auth_in_implicit_tls_has_to_wait_for_the_first() -> None:
    played = secured(b"", AUTH + EHLO + AUTH, configured("implicit", auth_users=["joe:secret"]))
    assert played.replies[1] == "503 Bad sequence of commands. AUTH should be used after EHLO"
    assert played.replies[-1] == "235 Authentication successful"


def test_implicit_tls_comes_before_the_greeting() -> None:
    _, played = begun(configured("implicit"), b"", byte_by_byte=False)
    assert played.events == [events.START_TLS]
    played = secured(b"", EHLO + b"STARTTLS\r\n", configured("implicit"))
    assert played.replies == [
        *("220 Welcome", "250 Received"),
        "503 Bad sequence of commands. TLS is active already",
    ]


# A row a command; then its code before TLS where that is offered, where it is required, and after the handshake.
GRID = {
    EHLO: (250, 250, 250),
    b"NOOP\r\n": (250, 250, 250),
    b"QUIT\r\n": (221, 221, 221),
    b"STARTTLS x\r\n": (501, 501, 503),
    HELO: (250, 530, 250),
    MAIL: (503, 530, 503),
    RCPT: (503, 530, 503),
    b"DATA\r\n": (503, 530, 503),
    b"BDAT 0 LAST\r\n": (503, 530, 503),
    b"RSET\r\n": (503, 530, 503),
    b"VRFY a\r\n": (252, 530, 252),
    b"HELP\r\n": (214, 530, 214),
    b"FOO\r\n": (502, 502, 502),
}


@pytest.mark.parametrize("line", GRID, ids=repr)
def test_every_command_before_and_after(line: bytes) -> None:
    def code(played: Played) -> int:
        return int(played.replies[-1][:3])

    modes = [configured(mode, extensions=["CHUNKING"]) for mode in ("starttls", "required")]
    before = [code(begun(settings, line, byte_by_byte=False)[1]) for settings in modes]
    after = {code(secured(b"STARTTLS\r\n", line, settings)) for settings in modes}
    assert (*before, *after) == GRID[line]


def test_octets_of_a_chunk_that_is_refused_are_no_commands() -> None:
    settings = configured("required", extensions=["CHUNKING"])
    _, played = begun(settings, b"BDAT 6\r\nQUIT\r\nNOOP\r\n", byte_by_byte=True)
    assert [reply[:3] for reply in played.replies] == ["220", "530", "250"]


def test_replies_and_delay_are_settings() -> None:
    settings = configured(
        "required",
        msg_starttls_received="220 go",
        msg_starttls_required="530 secure first",
        response_delay_starttls=2,
    )
    _, played = begun(settings, ENVELOPE + b"STARTTLS\r\n", byte_by_byte=True)
    assert played.replies[1:] == ["530 secure first"] * 3 + ["220 go"]
    assert played.events[-3:] == [events.ReplyDelayed(2), events.Reply("220 go"), events.START_TLS]


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize(
    ("rule", "goes_on"),
    [
        (Rule(on="starttls", reply="454 4.7.0 No TLS now"), False),
        (Rule(on="starttls", reply="220 by a rule"), True),
        (Rule(on="starttls", delay=1), True),
        (Rule(on="starttls", reply="220 bye", then="close"), False),
        (Rule(on="starttls", then="hang"), False),
        (Rule(on="starttls", then="reset"), False),
    ],
)
def test_rules(rule: Rule, goes_on: bool) -> None:
    session, played = begun(configured(rules=[rule]), b"STARTTLS\r\n", byte_by_byte=True)
    assert (events.START_TLS in played.events) == goes_on
    assert (session.state is State.SECURING) == goes_on


def test_fail_fast_counts_a_refusal() -> None:
    _, played = begun(configured("required", is_cmd_fail_fast=True), HELO, byte_by_byte=False)
    assert played.has_ended
    assert played.messages[0].helo_response == "530 Must issue a STARTTLS command first"


def test_the_next_message_of_the_session_came_by_tls_too() -> None:
    whole = MAIL + RCPT + b"DATA\r\n.\r\nRSET\r\n"
    settings = configured(multiple_message_receiving=True)
    assert [message.tls for message in secured(b"STARTTLS\r\n", HELO + whole + whole + MAIL, settings).messages] == [
        "TLSv1.3"
    ] * 3


def test_the_end_amid_the_handshake() -> None:
    session, played = begun(configured("implicit"), b"", byte_by_byte=False)
    session.end()
    pull(session, played)
    assert played.has_ended
    assert len(played.messages) == 1
