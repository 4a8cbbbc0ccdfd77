"""BDAT (RFC 3030): octets and dialogue stay in step, whatever is refused; fed whole and cut everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.session import Session
from tests.helpers import MAIL, RCPT, Played, play, play_pieces, pull

ENVELOPE = b"EHLO example.com\r\n" + MAIL + RCPT
BINARY = bytes(range(256)) + b"\r\n.\r\nQUIT\r\n\n.\r\n.."
BUSY = "451 4.7.1 Try again"


def chunked(data: bytes, *rules: Rule, then_end: bool = True, **settings: Any) -> Played:
    settings = {"extensions": ["CHUNKING", "BINARYMIME"], "rules": rules, **settings}
    return play(data, Configuration(**settings), then_end=then_end)


def bdat(octets: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n%s" % (len(octets), b" LAST" if last else b"", octets)


def test_simple_chunking() -> None:
    """RFC 3030 section 4.1."""
    octets = b"To: Susan@random.com\r\nFrom: Sam@random.com\r\nSubject: This is a bodyless test message\r\n"
    assert len(octets) == 86
    dialogue = (
        b"EHLO random.com\r\nMAIL FROM:<Sam@random.com>\r\nRCPT TO:<Susan@random.com>\r\n"
        + bdat(octets, last=True)
        + b"QUIT\r\n"
    )
    played = chunked(dialogue)
    assert [reply[:3] for reply in played.replies] == ["220", "250", "250", "250", "250", "221"]
    (message,) = played.messages
    assert message.is_consistent
    assert (message.data_request, message.msg_request) == ("BDAT 86 LAST", octets)


def test_pipelining_binarymime() -> None:
    """RFC 3030 section 4.2: the envelope in one go, then chunks of 100000, 324 and 0 octets."""
    big, small = (BINARY * 400)[:100000], BINARY[:324]
    dialogue = (
        b"EHLO ymir.claremont.edu\r\nMAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME\r\n"
        b"RCPT TO:<gvaudre@cnri.reston.va.us>\r\nRCPT TO:<jstewart@cnri.reston.va.us>\r\n"
    )
    chunks = bdat(big) + bdat(small) + bdat(b"", last=True)
    settings = Configuration(extensions=["PIPELINING", "BINARYMIME", "CHUNKING"], multiple_rcptto=True)
    played = play_pieces([dialogue, chunks, b"QUIT\r\n"], settings)
    assert played.replies[-4:] == [
        *("250 100000 octets received", f"250 {len(small)} octets received"),
        *("250 Received", "221 Closing connection"),
    ]
    (message,) = played.messages
    assert message.msg_request == big + small
    assert (message.chunks, message.mailfrom_parameters) == (3, {"BODY": "BINARYMIME"})
    assert len(message.forward_paths) == 2


@pytest.mark.parametrize("octets", [b"", b"x", b".\r\n", b"\r\n.\r\n", b"a\n.b\r\n..", BINARY], ids=repr)
def test_a_binary_body_is_exact(octets: bytes) -> None:
    for pieces in ([octets], [octets[:1], octets[1:]], [octets[:-1], octets[-1:]], [octets, b""], [b"", octets]):
        *before, last = pieces
        played = chunked(ENVELOPE + b"".join(map(bdat, before)) + bdat(last, last=True) + b"NOOP\r\n")
        assert played.replies[-2:] == ["250 Received", "250 Ok"]
        (message,) = played.messages
        assert message.msg_request == octets
        assert message.is_consistent


@pytest.mark.parametrize("line", [b"BDAT 3 LAST", b"bdat 3 last", b"BDAT  003   LAST"])
def test_how_it_may_be_written(line: bytes) -> None:
    assert chunked(ENVELOPE + line + b"\r\na\r\n").messages[0].msg_request == b"a\r\n"


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 LAS", b"BDAT 1 LAST x", b"BDAT " + b"1" * 21]
)
def test_how_it_may_not(line: bytes) -> None:
    played = chunked(ENVELOPE + bdat(b"a") + line + b"\r\n" + bdat(b"b", last=True))
    assert [reply[:3] for reply in played.replies[-2:]] == ["501", "503"], "nobody knows how much was to come"
    assert not played.messages[0].data


def test_rset_forgets_the_chunks() -> None:
    played = chunked(ENVELOPE + bdat(b"lost") + b"RSET\r\n" + MAIL + RCPT + bdat(b"kept", last=True))
    assert [message.msg_request for message in played.messages] == [b"kept"]
    again = chunked(ENVELOPE + bdat(b"lost") + MAIL + RCPT + bdat(b"kept", last=True))
    assert [message.msg_request for message in again.messages] == [b"kept"]


def test_noop_and_the_like_may_stand_between() -> None:
    played = chunked(ENVELOPE + bdat(b"a") + b"NOOP\r\nVRFY x\r\nFOO\r\n" + bdat(b"b", last=True))
    assert played.messages[0].msg_request == b"ab"


def test_octets_out_of_sequence_are_no_commands() -> None:
    stray = bdat(b"QUIT\r\n") + bdat(b"RSET\r\n", last=True) + b"NOOP\r\n"
    assert [reply[:3] for reply in chunked(stray).replies[1:]] == ["503", "503", "250"]
    after = chunked(ENVELOPE + bdat(b"whole", last=True) + stray)
    assert [reply[:3] for reply in after.replies[-3:]] == ["503", "503", "250"]
    assert after.messages[0].is_consistent
    assert after.messages[0].msg_request == b"whole"


@pytest.mark.parametrize("stray", [b"DATA\r\n", b"DATA x\r\n"])
def test_data_after_a_whole_message_leaves_it_as_it_is(stray: bytes) -> None:
    played = chunked(ENVELOPE + bdat(b"whole", last=True) + stray + b"QUIT\r\n")
    (message,) = played.messages
    assert message.is_consistent
    assert (message.data_request, message.data_response) == ("BDAT 5 LAST", "250 Received")
    assert [reply[:3] for reply in played.replies[-2:]] in (["503", "221"], ["502", "221"])


def test_data_and_bdat_do_not_mix() -> None:
    played = chunked(ENVELOPE + bdat(b"a") + b"DATA\r\n" + bdat(b"b", last=True))
    assert [reply[:3] for reply in played.replies[-2:]] == ["503", "503"], "it leads nowhere (RFC 3030 section 2)"
    again = chunked(ENVELOPE + b"DATA\r\na\r\n.\r\n" + bdat(b"b", last=True) + MAIL + RCPT + bdat(b"c", last=True))
    assert [reply[:3] for reply in again.replies[-4:]] == ["503", "250", "250", "250"]
    assert again.messages[0].msg_request == b"c"


def test_over_the_limit_the_rest_of_the_transaction_is_refused() -> None:
    data = ENVELOPE + bdat(b"x" * 6) + bdat(b"x" * 5) + bdat(b"x", last=True) + b"NOOP\r\n"
    played = chunked(data, msg_size_limit=10)
    assert [reply[:3] for reply in played.replies[-4:]] == ["250", "552", "503", "250"]
    (message,) = played.messages
    assert (message.data, message.msg, message.msg_request) == (True, False, b"")
    assert message.msg_response == "552 Message exceeded max size of 10 bytes"
    exact = chunked(ENVELOPE + bdat(b"x" * 6) + bdat(b"x" * 4, last=True), msg_size_limit=10)
    assert exact.messages[0].msg_request == b"x" * 10


def test_a_chunk_without_end_keeps_no_more_than_the_limit() -> None:
    settings = Configuration(extensions=["CHUNKING"], msg_size_limit=1000)
    session, played = Session(command_table(settings)), Played()
    session.receive_data(ENVELOPE + b"BDAT 99999999999999999999\r\n")
    pull(session, played)
    for _ in range(50):
        session.receive_data(b"x" * 4096)
        pull(session, played)
        assert len(session._buffer) + len(session.body.content() or b"") <= 1000
    assert session.body_size == 50 * 4096
    assert played.replies[-1] == "250 Received"


def test_several_messages() -> None:
    one = MAIL + RCPT + bdat(b"1", last=True)
    played = chunked(b"EHLO example.com\r\n" + one + one + b"RSET\r\n" + one, multiple_message_receiving=True)
    assert [message.msg_request for message in played.messages] == [b"1"] * 3
    assert all(message.is_consistent for message in played.messages)


def test_the_end_of_input_amid_a_chunk() -> None:
    played = chunked(ENVELOPE + b"BDAT 10\r\nhello")
    assert played.has_ended
    assert not played.messages[0].data


def test_delays() -> None:
    own: dict[str, Any] = {"response_delay_data": 3, "response_delay_message": 5}
    told = chunked(ENVELOPE + bdat(b"a") + bdat(b"b", last=True), **own).events
    assert [event.seconds for event in told if isinstance(event, events.ReplyDelayed)] == [3, 5]


def test_fail_fast() -> None:
    played = chunked(bdat(b"a") + b"NOOP\r\n", is_cmd_fail_fast=True)
    assert [reply[:3] for reply in played.replies] == ["220", "503"]
    played = chunked(ENVELOPE + bdat(b"abc") + b"NOOP\r\n", is_cmd_fail_fast=True, msg_size_limit=2)
    assert played.replies[-1][:3] == "552"
    assert len(played.messages) == 1


@pytest.mark.usefixtures("pace")
def test_a_rule_refuses_a_chunk_and_with_it_the_transaction() -> None:
    refuse = Rule(on="data", skip=1, times=1, reply=BUSY)
    played = chunked(ENVELOPE + bdat(b"a") + bdat(b"b") + bdat(b"c", last=True) + b"NOOP\r\n", refuse)
    assert [reply[:3] for reply in played.replies[-4:]] == ["250", "451", "503", "250"]
    (message,) = played.messages
    assert (message.data, message.data_request, message.msg, message.rules) == (False, "BDAT 1 LAST", False, ["rule 1"])
    again = chunked(ENVELOPE + bdat(b"a") + bdat(b"b") + MAIL + RCPT + bdat(b"c", last=True), refuse)
    assert again.messages[0].msg_request == b"c"


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("on", ["data", "message"])
def test_a_rule_on_the_last(on: str) -> None:
    data = ENVELOPE + bdat(b"a", last=True) + b"NOOP\r\n"
    refused = chunked(data, Rule(on=on, reply=BUSY))
    assert refused.replies[-2:] == [BUSY, "250 Ok"]
    assert (refused.messages[0].msg, refused.messages[0].msg_response) == (False, BUSY)
    accepted = chunked(data, Rule(on=on, reply="250 fine"))
    assert accepted.replies[-2:] == ["250 fine", "250 Ok"]
    assert accepted.messages[0].is_consistent
    delayed = chunked(data, Rule(on=on, delay=2))
    assert delayed.replies[-2:] == ["250 Received", "250 Ok"]
    assert events.ReplyDelayed(2) in delayed.events


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_a_rule_breaks_off(then: str) -> None:
    data = ENVELOPE + bdat(b"abc") + b"NOOP\r\n"
    for rule in (Rule(on="data", then=then), Rule(on="data", then=then, after_bytes=2)):
        played = chunked(data, rule, then_end=False)
        assert played.replies == chunked(ENVELOPE).replies
        assert played.has_ended == (then != "hang")
        assert (events.CONNECTION_RESET in played.events) == (then == "reset")
        assert played.events.count(events.RuleFired("rule 1")) == 1
    later = chunked(data, Rule(on="data", then=then, after_bytes=3), then_end=False)
    assert later.replies[-2:] == ["250 3 octets received", "250 Ok"]
    assert later.events.count(events.RuleFired("rule 1")) == 1
