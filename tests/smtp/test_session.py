from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpmock_cli import Configuration
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.session import LINE_LIMIT, Session
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, RCPT, TRANSACTION, Played, feed, play, play_pieces, pull

REFUSING = Configuration(
    blacklisted_helo_domains=["bad.com"],
    blacklisted_mailfrom_emails=["bad@example.com"],
    blacklisted_rcptto_emails=["bad@example.com"],
    not_registered_emails=["ghost@example.com"],
)

BEFORE = {
    "greeted": b"",
    "helo": HELO,
    "helo failed": HELO + b"HELO x\r\n",
    "mail": HELO + MAIL,
    "mail failed": HELO + b"MAIL FROM:<>\r\n",
    "rcpt": ENVELOPE,
    "rcpt failed": HELO + MAIL + b"RCPT TO:<>\r\n",
    "complete": TRANSACTION,
    "reset": TRANSACTION + b"RSET\r\n",
}

# A row a command, a column a state of BEFORE, in its order; the cell is the reply's code.
EVERYWHERE = {
    b"HELO example.com": 250,
    b"EHLO example.com": 250,
    b"HELO x": 501,
    b"HELO bad.com": 421,
    b"NOOP": 250,
    b"NOOP x": 250,
    b"QUIT": 221,
    b"QUIT x": 502,
    b"VRFY x": 502,
    b"FOO data": 502,
    b"": 502,
}
BY_STATE = {
    b"MAIL FROM:<a@b.co>": (503, 250, 503, 250, 250, 250, 250, 250, 250),
    b"MAIL FROM:<>": (503, 501, 503, 501, 501, 501, 501, 501, 501),
    b"MAIL FROM:<bad@example.com>": (503, 421, 503, 421, 421, 421, 421, 421, 421),
    b"RCPT TO:<a@b.co>": (503, 503, 503, 250, 503, 250, 250, 250, 503),
    b"RCPT TO:<>": (503, 503, 503, 501, 503, 501, 501, 501, 503),
    b"RCPT TO:<bad@example.com>": (503, 503, 503, 421, 503, 421, 421, 421, 503),
    b"RCPT TO:<ghost@example.com>": (503, 503, 503, 550, 503, 550, 550, 550, 503),
    b"DATA": (503, 503, 503, 503, 503, 354, 503, 354, 503),
    b"DATA x": (503, 503, 503, 503, 503, 502, 503, 502, 503),
    b"RSET": (503, 250, 503, 250, 250, 250, 250, 250, 250),
    b"RSET x": (503, 502, 503, 502, 502, 502, 502, 502, 502),
}
GRID = {line: (code,) * len(BEFORE) for line, code in EVERYWHERE.items()} | BY_STATE


@pytest.mark.parametrize("line", GRID, ids=repr)
def test_every_command_in_every_state(line: bytes) -> None:
    codes = [int(play(before + line + b"\r\n", REFUSING).replies[-1][:3]) for before in BEFORE.values()]
    assert dict(zip(BEFORE, codes, strict=True)) == dict(zip(BEFORE, GRID[line], strict=True))


def test_table_and_grid_know_the_same_commands() -> None:
    assert set(command_table(REFUSING).rows) == {line.split()[0].decode() for line in BY_STATE} | {
        "HELO",
        "EHLO",
        "NOOP",
        "QUIT",
    }


UNRECOGNISED = (b"QUIT x", b"VRFY x", b"FOO data", b"")


@pytest.mark.parametrize("line", GRID, ids=repr)
def test_fail_fast_closes_after_a_command_that_failed_and_only_then(line: bytes) -> None:
    refusals = {known.field: getattr(REFUSING, known.field) for known in REFUSING.SETTINGS if known.group == "Refusals"}
    fail_fast = Configuration(is_cmd_fail_fast=True, **refusals)
    for (name, before), code in zip(BEFORE.items(), GRID[line], strict=True):
        if not name.endswith("failed"):
            played = play(before + line + b"\r\n", fail_fast, then_end=False)
            assert played.has_ended is (code == 221 or (code >= 400 and line not in UNRECOGNISED)), name


def test_fail_fast_closes_after_a_body_that_is_too_big() -> None:
    played = play(TRANSACTION + b"NOOP\r\n", Configuration(is_cmd_fail_fast=True, msg_size_limit=5))
    assert played.replies[-1].startswith("552")
    assert played.has_ended


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"HELO example.com", ()),
        (b"MAIL FROM:<>", ("helo",)),
        (b"RCPT TO:<>", ("helo", "mailfrom")),
        (b"DATA x", ("helo", "mailfrom", "rcptto")),
        (b"RSET", ("helo",)),
        (b"NOOP", ("helo", "mailfrom", "rcptto", "data", "msg", "noop")),
        (b"FOO", ("helo", "mailfrom", "rcptto", "data", "msg", "noop")),
    ],
)
def test_what_a_command_forgets(line: bytes, kept: tuple[str, ...]) -> None:
    message = play(TRANSACTION + b"NOOP\r\n" + line + b"\r\n").messages[-1]
    own = {"HELO": {"helo"}, "RSET": {"rset"}}.get(line.split()[0].decode(), set())
    flags = ("helo", "mailfrom", "rcptto", "data", "msg", "rset", "noop")
    assert {flag for flag in flags if getattr(message, flag)} == {*kept, *own}
    assert message.forward_paths == (["b@example.com"] if "rcptto" in kept else [])
    assert message.reverse_path == ("a@example.com" if "mailfrom" in kept else "")


def test_multiple_rcptto_keeps_every_pair() -> None:
    settings = Configuration(multiple_rcptto=True, not_registered_emails=["ghost@example.com"])
    ghost = b"RCPT TO:<ghost@example.com>\r\n"
    message = play(HELO + MAIL + ghost + RCPT + ghost + b"DATA\r\n" + BODY + b".\r\n", settings).messages[0]
    assert [reply for _, reply in message.rcptto_request_response] == [
        "550 User not found",
        "250 Received",
        "550 User not found",
    ]
    assert message.is_consistent
    assert message.forward_paths == ["b@example.com"]


def test_only_the_last_recipient_counts_without_multiple_rcptto() -> None:
    message = play(ENVELOPE + b"RCPT TO:<c@d.org>\r\n").messages[0]
    assert message.rcptto_request_response == [("RCPT TO:<c@d.org>", "250 Received")]


def test_several_messages_a_session() -> None:
    settings = Configuration(multiple_message_receiving=True)
    again = MAIL + RCPT + b"DATA\r\nsecond\r\n.\r\n"
    first, second = play(TRANSACTION + b"RSET\r\n" + again, settings).messages
    assert (first.msg_request, second.msg_request) == (BODY, b"second\r\n")
    assert first.rset
    assert first.helo_request == second.helo_request == "HELO example.com"
    assert len(play(TRANSACTION + again, settings).messages) == 1, "RSET has to stand between them"


def test_line_too_long_is_answered_once_and_then_the_session_is_in_step_again() -> None:
    fits = b"NOOP " + b"x" * (LINE_LIMIT - 6) + b"\n"
    assert len(fits) == LINE_LIMIT
    assert play_pieces([fits], Configuration()).replies[1:] == ["250 Ok"]
    for excess in (1, 2, LINE_LIMIT, 3 * LINE_LIMIT):
        long = b"NOOP " + b"x" * (LINE_LIMIT - 6 + excess) + b"\nRSET\n"
        whole = play_pieces([long], Configuration())
        assert [reply[:3] for reply in whole.replies[1:]] == ["500", "503"]
        for size in (1000, LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1):
            pieces = [long[start : start + size] for start in range(0, len(long), size)]
            assert play_pieces(pieces, Configuration()).comparable() == whole.comparable()


def test_line_without_end_keeps_no_more_than_the_limit() -> None:
    session, played = Session(command_table(Configuration())), Played()
    for _ in range(100):
        session.receive_data(b"x" * 4096)
        pull(session, played)
        assert len(session._buffer) < LINE_LIMIT
    assert played.replies[1:] == ["500 Line too long"]


def test_a_delay_comes_before_its_reply_and_only_there() -> None:
    settings = Configuration(response_delay_helo=3, response_delay_message=2)
    told = play(TRANSACTION + b"NOOP\r\n", settings).events
    delays = {told[index + 1].line: event.seconds for index, event in enumerate(told) if delayed(event)}
    assert delays == {"250 Received": 2}
    assert [event.seconds for event in told if delayed(event)] == [3, 2]


def delayed(event: Any) -> bool:
    return isinstance(event, events.ReplyDelayed)


def test_end_gives_the_message_once_and_nothing_after_it() -> None:
    session, played = Session(command_table(Configuration())), Played()
    session.receive_data(ENVELOPE)
    pull(session, played)
    session.receive_data(b"NOOP\r\n")
    session.end()
    session.end()
    pull(session, played)
    assert session.state is State.ENDED
    assert played.messages[0].rcptto
    assert played.events[-2:] == [played.messages[0], events.SESSION_ENDED]
    assert session.next_event() is events.SESSION_ENDED


def test_message_is_told_before_the_last_reply() -> None:
    told = play(b"QUIT\r\n").events
    assert [type(event).__name__ for event in told[1:]] == [
        "RequestReceived",
        "Message",
        "Reply",
        "SessionEnded",
    ]


@pytest.mark.parametrize(
    ("sent", "fail_fast", "ends"),
    [
        (ENVELOPE, False, 0),
        (ENVELOPE + b"DATA\r\nHel", False, 1),
        (ENVELOPE + b"DATA\r\nHel", True, 0),
        (TRANSACTION, False, 0),
    ],
    ids=["command", "body", "body, fail fast", "complete"],
)
def test_a_connection_that_fails_within_a_body_has_an_end_too(sent: bytes, fail_fast: bool, ends: int) -> None:
    session, played = Session(command_table(Configuration(is_cmd_fail_fast=fail_fast))), Played()
    feed(session, [sent], played, then_end=False)
    told = len(played.events)
    session.receive_failure()
    pull(session, played)
    assert played.events[told:-2] == [events.INPUT_ENDED] * ends
    assert len(played.messages) == 1
    assert played.has_ended


WORDS = [line + b"\r\n" for line in GRID] + [
    BODY,
    b".\r\n",
    b".",
    b"\n",
    b"\r",
    b"..\n",
    b"\xff",
    b"A" * 70000,
    *(
        *(b"AUTH PLAIN\r\n", b"AUTH LOGIN am9l\r\n", b"AGpvZQB4\r\n", b"*\r\n", b"AUTH PLAIN AGpvZQB4\r\n"),
        b"MAIL FROM:<> SIZE=5 BODY=BINARYMIME\r\n",
        b"VRFY a\r\n",
        b"BDAT 3\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 70000 last\r\n",
    ),
]
SPEECH = st.lists(st.sampled_from(WORDS) | st.binary(max_size=20), max_size=25)
SETTINGS = st.builds(
    Configuration,
    is_cmd_fail_fast=st.booleans(),
    multiple_rcptto=st.booleans(),
    multiple_message_receiving=st.booleans(),
    msg_size_limit=st.sampled_from([1, 10, 100000]),
    not_registered_emails=st.just(["ghost@example.com"]),
    auth_users=st.sampled_from([(), ("joe:x",)]),
    auth_required=st.booleans(),
    extensions=st.sampled_from([(), ("SIZE",), ("CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES")]),
)


@settings(max_examples=300, deadline=None)
@given(speech=SPEECH, configuration=SETTINGS, data=st.data())
def test_any_bytes_cut_anywhere_tell_the_same(speech: list[bytes], configuration: Configuration, data: Any) -> None:
    sent = b"".join(speech)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    whole = play_pieces([sent], configuration)
    assert play_pieces(pieces, configuration).comparable() == whole.comparable()
    assert whole.has_ended
    check_one_reply_each(whole)


def check_one_reply_each(played: Played) -> None:
    """Between two requests stands one reply; a body's stands behind its body; 500 answers no request."""
    owed = 1
    for event in played.events:
        if isinstance(event, events.RequestReceived):
            assert owed == 0, "a request was not answered"
            owed = 1
        elif isinstance(event, events.Reply) and event.line.startswith("500 "):
            assert owed == 0
        elif isinstance(event, events.Reply):
            assert owed == 1, "answered twice"
            owed = 1 if event.line.startswith("354") else 0
        elif isinstance(event, events.SessionEnded):
            assert owed == 0 or events.INPUT_ENDED in played.events
