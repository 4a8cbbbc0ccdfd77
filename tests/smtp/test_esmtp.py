"""ESMTP in a session: what EHLO offers and what that changes, fed whole and cut everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.settings import REPLIES
from smtpmock_cli.smtp import status_codes
from tests.helpers import BODY, HELO, MAIL, RCPT, Played, play

EHLO = b"EHLO example.com\r\n"
EVERYTHING = (
    *("SIZE", "8BITMIME", "BINARYMIME", "PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"),
    "X-OWN one two",
)
USUAL = ["SIZE 10485760", "8BITMIME", "PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES"]


def esmtp(data: bytes, *extensions: str, then_end: bool = True, **settings: Any) -> Played:
    return play(data, Configuration(esmtp=True, extensions=extensions, **settings), then_end=then_end)


def offered(played: Played) -> list[str]:
    """The lines of EHLO's reply behind the first, all of which have its form."""
    first, *lines = played.replies[1].split("\r\n")
    assert all(line[:4] == "250-" for line in [first, *lines[:-1]])
    assert lines[-1][:4] == "250 "
    return [line[4:] for line in lines]


def test_ehlo_offers_and_helo_does_not() -> None:
    played = esmtp(EHLO)
    assert offered(played) == USUAL
    assert played.replies[1].startswith("250-Received\r\n")
    assert played.messages[0].helo_response == played.replies[1]
    assert esmtp(HELO).replies[1] == "250 Received"


def test_without_the_flag_nothing_is_offered() -> None:
    data = EHLO + b"MAIL FROM:<a@b.co> SIZE=1\r\nVRFY a\r\nHELP\r\nBDAT 0 LAST\r\nMAIL FROM:<>\r\n"
    assert [reply[:3] for reply in play(data).replies] == ["220", "250", "501", "502", "502", "502", "501"]


def test_a_list_is_offered_in_its_order_and_turns_esmtp_on() -> None:
    played = play(EHLO, Configuration(extensions=["X-OWN one two", "dsn", "SIZE", "DSN", "x-own"], msg_size_limit=7))
    assert offered(played) == ["X-OWN one two", "dsn", "SIZE 7"]


def test_a_size_of_its_own_is_offered_as_it_stands() -> None:
    assert offered(esmtp(EHLO, "SIZE 1")) == ["SIZE 1"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("250 mail.example.com hi", "250-mail.example.com hi\r\n250 DSN"),
        ("250-a\r\n250 b", "250-a\r\n250-b\r\n250 DSN"),
        ("250", "250-\r\n250 DSN"),
        ("550 no", "550 no"),
        ("hello", "hello"),
    ],
)
def test_the_offer_stands_behind_the_reply_that_was_configured(reply: str, expected: str) -> None:
    assert esmtp(EHLO, "DSN", msg_helo_received=reply).replies[1] == expected


@pytest.mark.parametrize("word", ["", " ", "-A", "É", "A\tB", "A\r\n250 B", "A ", "=", "A=1"])
def test_what_is_no_keyword_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="extensions takes keywords of ESMTP"):
        Configuration(extensions=["SIZE", word])


BEFORE = {
    "greeted": b"",
    "helo": EHLO,
    "mail": EHLO + MAIL,
    "rcpt": EHLO + MAIL + RCPT,
    "chunks": EHLO + MAIL + RCPT + b"BDAT 2\r\n\r\n",
    "chunks failed": EHLO + MAIL + RCPT + b"BDAT 101\r\n" + b"x" * 101,
    "complete": EHLO + MAIL + RCPT + b"BDAT 2 LAST\r\n\r\n",
    "complete by DATA": EHLO + MAIL + RCPT + b"DATA\r\n.\r\n",
    "reset": EHLO + MAIL + RCPT + b"BDAT 2\r\n\r\nRSET\r\n",
    "binary": EHLO + b"MAIL FROM:<a@b> BODY=BINARYMIME\r\n" + RCPT,
}

# A row a command, a column a state of BEFORE, in its order; the cell is the reply's code.
GRID = {
    b"HELO example.com": (250,) * 10,
    b"EHLO one-label": (250,) * 10,
    b"EHLO [x]": (501,) * 10,
    b"NOOP": (250,) * 10,
    b"QUIT": (221,) * 10,
    b"QUIT x": (502,) * 10,
    b"VRFY a@b": (252,) * 10,
    b"VRFY": (501,) * 10,
    b"VRFY <ghost@example.com>": (550,) * 10,
    b"HELP": (214,) * 10,
    b"HELP MAIL": (214,) * 10,
    b"EXPN a": (502,) * 10,
    b"FOO data": (502,) * 10,
    b"MAIL FROM:<>": (503, *(250,) * 9),
    b"MAIL FROM:a@b.co": (503, *(501,) * 9),
    b"MAIL": (503, *(501,) * 9),
    b"MAIL FROM:<a@b> SIZE=101": (503, *(552,) * 9),
    b"MAIL FROM:<a@b> SIZE=100": (503, *(250,) * 9),
    b"MAIL FROM:<a@b> X=1": (503, *(555,) * 9),
    b"MAIL FROM:<a@b> SIZE=x": (503, *(501,) * 9),
    b"MAIL FROM:<a@b> SIZE=1 SIZE=1": (503, *(501,) * 9),
    b"MAIL FROM:<bad@example.com>": (503, *(421,) * 9),
    "MAIL FROM:<é@b>".encode(): (503, *(553,) * 9),
    "MAIL FROM:<é@b> SMTPUTF8".encode(): (503, *(250,) * 9),
    b"RCPT TO:<Postmaster>": (503, 503, 250, 250, 250, 250, 250, 250, 503, 250),
    b"RCPT TO:<>": (503, 503, 501, 501, 501, 501, 501, 501, 503, 501),
    b"RCPT TO:<a@b> NOTIFY=NEVER": (503, 503, 250, 250, 250, 250, 250, 250, 503, 250),
    b"RCPT TO:<a@b> SIZE=1": (503, 503, 555, 555, 555, 555, 555, 555, 503, 555),
    b"RCPT TO:<ghost@example.com>": (503, 503, 550, 550, 550, 550, 550, 550, 503, 550),
    "RCPT TO:<é@b>".encode(): (503, 503, 553, 553, 553, 553, 553, 553, 503, 553),
    b"DATA": (503, 503, 503, 354, 503, 503, 503, 354, 503, 503),
    b"DATA x": (503, 503, 503, 502, 503, 503, 503, 502, 503, 503),
    b"BDAT 0": (503, 503, 503, 250, 250, 503, 503, 503, 503, 250),
    b"BDAT 0 LAST": (503, 503, 503, 250, 250, 503, 503, 503, 503, 250),
    b"BDAT": (503, 503, 503, 501, 501, 503, 503, 503, 503, 501),
    b"BDAT x": (503, 503, 503, 501, 501, 503, 503, 503, 503, 501),
    b"RSET": (503, *(250,) * 9),
}
GRID_SETTINGS = Configuration(
    extensions=EVERYTHING,
    msg_size_limit=100,
    blacklisted_mailfrom_emails=["bad@example.com"],
    not_registered_emails=["ghost@example.com"],
)


@pytest.mark.parametrize("line", GRID, ids=repr)
def test_every_command_in_every_state(line: bytes) -> None:
    codes = [int(play(before + line + b"\r\n", GRID_SETTINGS).replies[-1][:3]) for before in BEFORE.values()]
    assert dict(zip(BEFORE, codes, strict=True)) == dict(zip(BEFORE, GRID[line], strict=True))


def test_table_and_grid_know_the_same_commands() -> None:
    assert {line.split()[0].decode() for line in GRID} - {"EXPN", "FOO"} == command_table(GRID_SETTINGS).rows.keys()


def test_help_names_the_commands_that_there_are() -> None:
    assert "BDAT" not in esmtp(b"HELP\r\n").replies[-1]
    helped = esmtp(b"HELP\r\n", "CHUNKING").replies[-1]
    assert helped == "214 Commands: HELO, EHLO, MAIL, RCPT, DATA, RSET, NOOP, QUIT, VRFY, BDAT, HELP"


@pytest.mark.parametrize(
    ("extension", "allowed", "invalid"),
    [
        ("SIZE", ["MAIL FROM:<a@b> SIZE=0", "MAIL FROM:<> size=10485760"], ["SIZE", "SIZE=", "SIZE=-1", "SIZE=1e3"]),
        ("8BITMIME", ["MAIL FROM:<a@b> BODY=8BITMIME", "MAIL FROM:<a@b> body=7bit"], ["BODY=BINARYMIME", "BODY"]),
        ("BINARYMIME", ["MAIL FROM:<a@b> BODY=BINARYMIME", "MAIL FROM:<a@b> BODY=7BIT"], ["BODY=8BITMIME"]),
        ("SMTPUTF8", ["MAIL FROM:<a@b> SMTPUTF8"], ["SMTPUTF8=1"]),
        (
            "DSN",
            ["MAIL FROM:<a@b> RET=HDRS ENVID=QQ+20314159", "MAIL FROM:<a@b> ret=full"],
            ["RET=x", "ENVID=a+0g", "ENVID=" + "a" * 101],
        ),
        ("X-OWN 1", ["MAIL FROM:<a@b> X-OWN=2", "MAIL FROM:<a@b> x-own"], []),
    ],
)
def test_parameters_go_with_their_extension(extension: str, allowed: list[str], invalid: list[str]) -> None:
    for line in allowed:
        assert esmtp(EHLO + line.encode() + b"\r\n", extension).replies[-1] == "250 Received", line
        assert esmtp(EHLO + line.encode() + b"\r\n", "PIPELINING").replies[-1][:3] == "555", line
        assert esmtp(HELO + line.encode() + b"\r\n", extension).replies[-1][:3] == "555", "HELO is offered nothing"
    for parameter in invalid:
        line = f"MAIL FROM:<a@b> {parameter}\r\n"
        assert esmtp(EHLO + line.encode(), extension).replies[-1][:3] == "501", line


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("NOTIFY=NEVER", 250),
        ("NOTIFY=success,FAILURE,DELAY ORCPT=rfc822;Bob+40b", 250),
        ("ORCPT=utf-8;zoë@b", 250),
        ("NOTIFY=NEVER,DELAY", 501),
        ("NOTIFY=", 501),
        ("NOTIFY", 501),
        ("ORCPT=a", 501),
        ("ORCPT=rfc822;a+", 501),
        ("RET=FULL", 555),
        ("BODY=7BIT", 555),
    ],
)
def test_parameters_of_a_recipient(parameters: str, code: int) -> None:
    line = f"RCPT TO:<a@b> {parameters}\r\n"
    assert int(esmtp(EHLO + MAIL + line.encode(), *EVERYTHING).replies[-1][:3]) == code


def test_the_record_has_the_parameters_of_what_was_accepted() -> None:
    data = (
        b"MAIL FROM:<a@b> size=10 SMTPUTF8 ENVID=+41\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n"
        b"RCPT TO:<ghost@d> NOTIFY=DELAY\r\nRCPT TO:<e@d>\r\n"
    )
    (message,) = esmtp(EHLO + data, *EVERYTHING, multiple_rcptto=True, not_registered_emails=["ghost@d"]).messages
    assert message.mailfrom_parameters == {"SIZE": "10", "SMTPUTF8": "", "ENVID": "+41"}
    assert message.rcptto_parameters == [{"NOTIFY": "NEVER"}, {}]
    assert message.forward_paths == ["c@d", "e@d"]
    (message,) = esmtp(EHLO + data + b"RSET\r\n", *EVERYTHING, multiple_rcptto=True).messages
    assert (message.mailfrom_parameters, message.rcptto_parameters) == ({}, [])
    (message,) = esmtp(EHLO + data, *EVERYTHING).messages
    assert message.rcptto_parameters == [{}], "only the last recipient is kept"


@pytest.mark.usefixtures("pace")
def test_parameters_where_a_rule_accepts_what_is_wrong() -> None:
    accept = Rule(on=["mail", "rcpt"], reply="250 fine")
    data = EHLO + b"MAIL FROM:<a@b> SIZE=x\r\nRCPT TO:<c@d> A=1 A=2\r\n"
    (message,) = esmtp(data, rules=[accept]).messages
    assert (message.reverse_path, message.forward_paths) == ("a@b", ["c@d"])
    assert (message.mailfrom_parameters, message.rcptto_parameters) == ({"SIZE": "x"}, [{}])


def test_international_recipients_need_the_parameter_of_mail() -> None:
    rcpt = "RCPT TO:<用户@例子.广告>\r\n".encode()
    assert esmtp(EHLO + b"MAIL FROM:<a@b> SMTPUTF8\r\n" + rcpt).replies[-1] == "250 2.1.5 Received"
    assert esmtp(EHLO + b"MAIL FROM:<a@b>\r\n" + rcpt).replies[-1].startswith("553 5.6.7 ")
    assert esmtp(EHLO + "MAIL FROM:<é@b>\r\n".encode(), "SIZE").replies[-1][:4] == "553 "


def test_addresses_are_as_written() -> None:
    data = EHLO + b'MAIL FROM:<@x,@y.z:"A \\"b"@C.d>\r\nRCPT TO:<a@[IPv6:2001:db8::1]>\r\nDATA\r\n' + BODY + b".\r\n"
    (message,) = esmtp(data).messages
    assert (message.reverse_path, message.forward_paths) == ('"A \\"b"@C.d', ["a@[IPv6:2001:db8::1]"])
    refused = esmtp(data, blacklisted_mailfrom_emails=['"A \\"b"@C.d'])
    assert refused.replies[2] == "421 4.7.1 Service not available"


@pytest.mark.parametrize(
    ("helo", "parameters", "protocol"),
    [("HELO", "", "SMTP"), ("EHLO", "", "ESMTP"), ("ehlo", " SMTPUTF8", "UTF8SMTP")],
)
def test_the_trace_header_names_the_protocol(helo: str, parameters: str, protocol: str) -> None:
    data = f"{helo} example.com\r\nMAIL FROM:<>{parameters}\r\n".encode() + RCPT + b"DATA\r\n" + BODY + b".\r\n"
    (message,) = esmtp(data).messages
    assert message.as_mail().startswith(b"Return-Path: <>\r\nReceived: from example.com ")
    assert f" with {protocol} id ".encode() in message.as_mail()


CODED = b"FOO\r\nVRFY\r\nMAIL FROM:<a@b>\r\n" + EHLO + b"MAIL FROM:<\r\nMAIL FROM:<> X=1\r\nRSET\r\nDATA\r\n"


def test_each_reply_is_coded_where_that_is_offered() -> None:
    replies = esmtp(CODED + b"EHLO [\r\nQUIT\r\n").replies
    assert [reply[:9] for reply in replies[1:4]] == ["502 5.5.1", "501 5.5.4", "503 5.5.1"]
    assert [reply[:9] for reply in replies[5:9]] == ["501 5.1.7", "555 5.5.4", "250 2.0.0", "503 5.5.1"]
    assert (replies[0], replies[9][:9], replies[10][:9]) == ("220 Welcome", "501 HELO ", "221 2.0.0")
    plain = esmtp(CODED, "SIZE").replies
    assert [reply[:3] for reply in plain] == [reply[:3] for reply in replies[:9]]
    assert not any(reply[3:5] in (" 2", " 4", " 5") for reply in plain)


def test_a_configured_reply_is_not_coded() -> None:
    assert esmtp(b"NOOP\r\nRSET\r\n", msg_noop_received="250 mine").replies[1:] == [
        "250 mine",
        "503 5.5.1 Bad sequence of commands. HELO should be the first",
    ]


def test_every_default_reply_has_a_code_of_its_class() -> None:
    without = {"msg_greeting", "msg_invalid_cmd_helo_sequence", "msg_invalid_cmd_helo_arg", "msg_data_received"}
    without |= {"msg_helo_blacklisted_domain", "msg_helo_received"}
    replies = {known.field: known.default for known in Configuration.SETTINGS if known.group == REPLIES}
    assert status_codes.CODES.keys() == replies.keys() - without
    assert all((replies[field] or "5")[0] == code[0] for field, code in status_codes.CODES.items())
    table = command_table(Configuration(esmtp=True, msg_size_limit=9))
    assert table.body.too_big.line == "552 5.3.4 Message exceeded max size of 9 bytes"
    assert table.line_too_long.line == "500 5.5.2 Line too long"


def test_mail_after_a_complete_message_starts_the_next() -> None:
    whole = MAIL + RCPT + b"DATA\r\n" + BODY + b".\r\n"
    several = esmtp(EHLO + whole + b"RSET\r\n" + whole + whole + b"NOOP\r\n", multiple_message_receiving=True)
    assert [message.is_consistent for message in several.messages] == [True] * 3
    assert [message.rset for message in several.messages] == [True, False, False]
    assert {message.helo_request for message in several.messages} == {"EHLO example.com"}
    unfinished = esmtp(EHLO + MAIL + RCPT + MAIL + RCPT, multiple_message_receiving=True)
    assert len(unfinished.messages) == 1
    assert len(esmtp(EHLO + whole + whole).messages) == 1


@pytest.mark.usefixtures("pace")
def test_rules_meet_paths_and_lines_as_without() -> None:
    rules = [
        Rule(on="rcpt", match="*@full.example", reply="452 4.2.2 Full"),
        Rule(on="mail", match="", reply="451 no bounces"),
        Rule(on="unknown", match="VRFY a*", reply="550 no"),
    ]
    data = EHLO + b"MAIL FROM:<>\r\n" + MAIL + b"RCPT TO:<a@full.example> NOTIFY=NEVER\r\nVRFY ab\r\nVRFY b\r\n"
    replies = esmtp(data, *EVERYTHING, rules=rules).replies
    assert replies[2:] == [
        *("451 no bounces", "250 2.1.0 Received", "452 4.2.2 Full", "550 no"),
        "252 2.5.0 Cannot verify, but will take a message",
    ]


def test_fail_fast() -> None:
    for line in (b"MAIL FROM:<a@b> X=1\r\n", b"BDAT 0\r\n", b"VRFY\r\n"):
        assert esmtp(EHLO + line, *EVERYTHING, is_cmd_fail_fast=True, then_end=False).has_ended, line
    assert not esmtp(EHLO + b"VRFY a\r\n", is_cmd_fail_fast=True, then_end=False).has_ended
