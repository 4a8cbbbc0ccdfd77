"""AUTH in a session: every mechanism, every way to fail, and no password anywhere; fed whole and cut everywhere."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest

from smtpmock_cli import Configuration, ConfigurationError, Message, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.concealment import concealed
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.session import LINE_LIMIT, Session
from tests.helpers import BODY, HELO, MAIL, RCPT, Played, play, play_pieces, pull

EHLO = b"EHLO example.com\r\n"
USERS = ["joe:s3cr:et", "zoë:pässword", "nobody:"]
OK, NO, CANCELLED = (
    "235 Authentication successful",
    "535 Authentication credentials invalid",
    "501 Authentication cancelled",
)
NOT_BASE64 = "501 Response is not valid base 64"


def b64(data: bytes | str) -> bytes:
    return base64.b64encode(data.encode() if isinstance(data, str) else data)


def authenticating(data: bytes, *, then_end: bool = True, **settings: Any) -> Played:
    return play(EHLO + data, Configuration(**{"auth_users": USERS, **settings}), then_end=then_end)


def only_message(played: Played) -> Message:
    (message,) = played.messages
    return message


def plain(name: str, password: str, acted_for: str = "") -> bytes:
    return b64(f"{acted_for}\0{name}\0{password}")


@pytest.mark.parametrize(
    ("response", "username", "succeeds"),
    [
        (plain("joe", "s3cr:et"), "joe", True),
        (plain("joe", "s3cr:et", "joe"), "joe", True),
        (plain("zoë", "pässword"), "zoë", True),
        (plain("nobody", ""), "nobody", True),
        (plain("joe", "s3cr"), "joe", False),
        (plain("joe", ""), "joe", False),
        (plain("Joe", "s3cr:et"), "Joe", False),
        (plain("ann", "s3cr:et"), "ann", False),
        (plain("joe", "s3cr:et", "ann"), "joe", False),
        (b64("joe\0s3cr:et"), "", False),
        (b64("joe"), "", False),
        (b64("\0nobody"), "", False),
        (b64(b"\0\xff\0"), "\udcff", False),
        (b"=", "", False),
    ],
)
def test_plain(response: bytes, username: str, succeeds: bool) -> None:
    at_once = authenticating(b"AUTH PLAIN " + response + b"\r\n")
    asked = authenticating(b"auth plain\r\n" + response.strip(b"=" if response == b"=" else b"") + b"\r\n")
    assert at_once.replies[2:] == [OK if succeeds else NO]
    assert asked.replies[2:] == ["334 ", OK if succeeds else NO]
    for played in (at_once, asked):
        message = only_message(played)
        assert (message.auth, message.auth_mechanism, message.auth_username) == (succeeds, "PLAIN", username)


@pytest.mark.parametrize(("password", "succeeds"), [("s3cr:et", True), ("x", False), ("", False)])
def test_login(password: str, succeeds: bool) -> None:
    verdict = OK if succeeds else NO
    asked = authenticating(b"AUTH LOGIN\r\n" + b64("joe") + b"\r\n" + b64(password) + b"\r\n")
    assert asked.replies[2:] == [f"334 {b64('Username:').decode()}", f"334 {b64('Password:').decode()}", verdict]
    at_once = authenticating(b"AUTH LOGIN " + b64("joe") + b"\r\n" + b64(password) + b"\r\n")
    assert at_once.replies[2:] == [f"334 {b64('Password:').decode()}", verdict]
    for played in (asked, at_once):
        message = only_message(played)
        assert (message.auth, message.auth_mechanism, message.auth_username) == (succeeds, "LOGIN", "joe")


@pytest.mark.parametrize(
    ("name", "password", "succeeds"),
    [("joe", "s3cr:et", True), ("zoë", "pässword", True), ("joe", "x", False), ("ann", "s3cr:et", False)],
)
def test_cram_md5(name: str, password: str, succeeds: bool) -> None:
    settings = Configuration(auth_users=USERS, seed=1)
    session, played = Session(command_table(settings)), Played()
    session.receive_data(EHLO + b"AUTH CRAM-MD5\r\n")
    pull(session, played)
    challenge = base64.b64decode(played.replies[-1].removeprefix("334 "))
    assert challenge.startswith(b"<")
    assert challenge.endswith(b"@smtpmock>")
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    session.receive_data(b64(f"{name} {digest}") + b"\r\n")
    pull(session, played)
    assert played.replies[-1] == (OK if succeeds else NO)
    assert (session.message.auth, session.message.auth_username) == (succeeds, name)


def test_cram_md5_by_the_example_of_the_rfc() -> None:
    """RFC 2195 section 3."""
    from smtpmock_cli.smtp.auth import MECHANISMS

    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    response = base64.b64decode(b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw")
    assert MECHANISMS["CRAM-MD5"].judge({b"tim": b"tanstaaftanstaaf"}, [challenge], [response]) == (b"tim", True)


def test_challenges_never_come_twice_but_for_a_seed() -> None:
    def challenges(seed: int | None) -> list[str]:
        return authenticating(b"AUTH CRAM-MD5\r\n*\r\n" * 3, seed=seed, auth_mechanisms=["CRAM-MD5"]).replies[2::2]

    assert len({*challenges(1)}) == 3
    assert challenges(1) == challenges(1)
    assert len({*challenges(0), *challenges(1), *challenges(2**63 - 1)}) == 9


@pytest.mark.parametrize("begin", [b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH LOGIN am9l\r\n"])
def test_cancelling(begin: bytes) -> None:
    played = authenticating(begin + b"*\r\nNOOP\r\n")
    assert played.replies[-2:] == [CANCELLED, "250 Ok"]
    assert events.RequestReceived("*") in played.events
    assert not only_message(played).auth


@pytest.mark.parametrize("response", [b"no!", b"YQ", b"YQ==x", b"Y Q==", b"=", "ä".encode(), b"\xff", b"YQ==\x00"])
def test_what_is_no_base64(response: bytes) -> None:
    assert authenticating(b"AUTH PLAIN\r\n" + response + b"\r\nNOOP\r\n").replies[-2:] == [NOT_BASE64, "250 Ok"]
    if response != b"=":
        assert authenticating(b"AUTH PLAIN " + response + b"\r\n").replies[-1] == NOT_BASE64
    assert authenticating(b"AUTH CRAM-MD5 " + b64("x") + b"\r\n").replies[-1] == NOT_BASE64


def test_a_response_that_is_too_long_ends_the_exchange() -> None:
    data = EHLO + b"AUTH PLAIN\r\n" + b"A" * LINE_LIMIT + b"\r\nNOOP\r\n"
    played = play_pieces([data], Configuration(auth_users=USERS))
    assert [reply[:3] for reply in played.replies] == ["220", "250", "334", "500", "250"]


PROVEN = b"AUTH PLAIN " + plain("joe", "s3cr:et") + b"\r\n"


@pytest.mark.parametrize(
    ("before", "line", "code"),
    [
        (b"", b"AUTH\r\n", 501),
        (b"", b"AUTH GSSAPI\r\n", 504),
        (b"", b"AUTH XOAUTH2 YQ==\r\n", 504),
        (PROVEN, PROVEN, 503),
        (PROVEN + EHLO, PROVEN, 503),
        (MAIL, PROVEN, 503),
        (MAIL + RCPT, PROVEN, 503),
        (MAIL + RCPT + b"DATA\r\n.\r\n", PROVEN, 235),
        (MAIL + b"RSET\r\n", PROVEN, 235),
        (b"MAIL FROM:<bad>\r\n", PROVEN, 235),
        (b"HELO x\r\n", PROVEN, 503),
    ],
)
def test_sequence(before: bytes, line: bytes, code: int) -> None:
    assert int(authenticating(before + line).replies[-1][:3]) == code


def test_before_ehlo_it_is_out_of_sequence() -> None:
    assert play(PROVEN, Configuration(auth_users=USERS)).replies[-1][:3] == "503"
    assert play(HELO + PROVEN, Configuration(auth_users=USERS)).replies[-1] == OK


def test_it_is_offered_by_each_of_its_settings() -> None:
    everything = "250-Received\r\n250 AUTH PLAIN LOGIN CRAM-MD5"
    assert play(EHLO, Configuration(auth_users=["a:b"])).replies[-1] == everything
    assert play(EHLO, Configuration(auth_required=True)).replies[-1] == everything
    some = Configuration(auth_mechanisms=["LOGIN", "PLAIN"])
    assert play(EHLO, some).replies[-1] == "250-Received\r\n250 AUTH LOGIN PLAIN"
    assert play(EHLO + PROVEN + b"AUTH CRAM-MD5\r\n", some).replies[-2:] == [
        NO,
        "504 Authentication mechanism is not offered",
    ]
    assert play(EHLO + PROVEN).replies[-1][:3] == "502"


AFTER_EHLO = "503 Bad sequence of commands. AUTH should be used after EHLO"
ONCE = "503 Bad sequence of commands. AUTH should be used once, before MAIL FROM"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (b"", AFTER_EHLO),
        (b"NOOP\r\n", AFTER_EHLO),
        (b"EHLO\r\n", AFTER_EHLO),
        (EHLO + b"EHLO x\r\n", AFTER_EHLO),
        (EHLO + PROVEN, ONCE),
        (EHLO + MAIL, ONCE),
    ],
)
def test_out_of_sequence_the_reply_says_why(before: bytes, reason: str) -> None:
    assert play(before + PROVEN, Configuration(auth_users=USERS)).replies[-1] == reason
    coded = Configuration(auth_users=USERS, extensions=["ENHANCEDSTATUSCODES"], multiple_rcptto=True)
    if b"EHLO x" not in before:  # one label is a domain then
        assert play(before + PROVEN, coded).replies[-1] == reason.replace("503 ", "503 5.5.1 ")


@pytest.mark.parametrize("mode", ["starttls", "required", "implicit"])
def test_in_plaintext_where_tls_is_required_it_is_not_offered(mode: str) -> None:
    table = command_table(Configuration(auth_users=["a:b"], tls_cert="unread.pem", tls_mode=mode))
    message = Message()
    before, _ = table.rows["EHLO"].judge(message, "example.com")
    refused, _ = table.rows["AUTH"].judge(message, "PLAIN")
    message.tls, message.helo = "TLSv1.3", True
    after, _ = table.rows["EHLO"].judge(message, "example.com")
    assert ("AUTH" in before.line) == (mode != "required")
    assert (refused.line[:3] == "530") == (mode == "required")
    assert after.line.endswith("250 AUTH PLAIN LOGIN CRAM-MD5")
    assert table.rows["AUTH"].judge(message, "PLAIN")[1]


# A row a command, with its code before and after AUTH.
REQUIRED = {
    b"EHLO a.com\r\n": (250, 250),
    b"HELO a.com\r\n": (250, 250),
    b"NOOP\r\n": (250, 250),
    b"RSET\r\n": (250, 250),
    b"QUIT\r\n": (221, 221),
    b"AUTH\r\n": (501, 503),
    MAIL: (530, 250),
    RCPT: (530, 503),
    b"DATA\r\n": (530, 503),
    b"BDAT 0 LAST\r\n": (530, 503),
    b"VRFY a\r\n": (530, 252),
    b"HELP\r\n": (530, 214),
}


@pytest.mark.parametrize("line", REQUIRED, ids=repr)
def test_required(line: bytes) -> None:
    settings: dict[str, Any] = {"auth_required": True, "extensions": ["CHUNKING"]}
    before, after = (authenticating(data + line, **settings) for data in (b"", PROVEN))
    assert tuple(int(played.replies[-1][:3]) for played in (before, after)) == REQUIRED[line]


def test_the_record_of_each_message_of_the_session() -> None:
    whole = MAIL + RCPT + b"DATA\r\n" + BODY + b".\r\nRSET\r\n"
    played = authenticating(PROVEN + whole + EHLO + whole, multiple_message_receiving=True)
    assert [(message.auth, message.auth_username) for message in played.messages] == [(True, "joe")] * len(
        played.messages
    )
    assert b" with ESMTPA id " in authenticating(PROVEN + whole.replace(b"RSET\r\n", b"")).messages[0].as_mail()
    again = only_message(authenticating(b"AUTH PLAIN " + plain("joe", "x") + b"\r\n" + b"AUTH LOGIN\r\n*\r\n"))
    assert (again.auth, again.auth_mechanism, again.auth_username) == (False, "LOGIN", "")


def test_replies_and_delay_are_settings() -> None:
    settings: dict[str, Any] = {
        "msg_auth_received": "235 in",
        "msg_invalid_auth": "535 out",
        "msg_auth_required": "530 who",
        "response_delay_auth": 2,
        "auth_required": True,
    }
    wrong = b"AUTH LOGIN\r\n" + b64("joe") + b"\r\n" + b64("x") + b"\r\n"
    played = authenticating(MAIL + wrong + PROVEN, **settings)
    assert [reply for reply in played.replies if reply[:3] in ("530", "535", "235")] == ["530 who", "535 out", "235 in"]
    delays = [event.seconds for event in played.events if isinstance(event, events.ReplyDelayed)]
    assert delays == [2, 2], "the challenges come at once"


def test_codes() -> None:
    data = MAIL + b"AUTH X\r\nRSET\r\nAUTH X\r\nAUTH PLAIN !\r\nAUTH PLAIN\r\n*\r\nAUTH PLAIN =\r\n" + PROVEN
    replies = authenticating(data, esmtp=True).replies
    assert [reply[:9] for reply in replies[3:]] == [
        *("503 5.5.1", "250 2.0.0", "504 5.5.4", "501 5.5.2", "334 ", "501 5.7.0", "535 5.7.8", "235 2.7.0"),
    ]


def test_the_parameter_of_mail() -> None:
    """RFC 4954 section 5."""
    for value, code in (("<>", 250), ("e+3Dmc2@example.com", 250), ("a+2", 501), ("", 501)):
        line = f"MAIL FROM:<e=mc2@example.com> AUTH={value}\r\n".encode()
        assert int(authenticating(line, esmtp=True).replies[-1][:3]) == code
    assert play(EHLO + b"MAIL FROM:<> AUTH=<>\r\n", Configuration(esmtp=True)).replies[-1][:3] == "555"


def test_fail_fast() -> None:
    for data in (b"AUTH PLAIN =\r\n", b"AUTH X\r\n", b"AUTH PLAIN\r\n*\r\n", b"AUTH PLAIN !\r\n"):
        assert authenticating(data, is_cmd_fail_fast=True, then_end=False).has_ended, data
    assert not authenticating(PROVEN + b"AUTH", is_cmd_fail_fast=True, then_end=False).has_ended


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize(
    ("rule", "replies", "auth"),
    [
        (Rule(on="auth", times=1, reply="454 4.7.0 Try later"), ["454 4.7.0 Try later", OK], True),
        (Rule(on="auth", match="PLAIN*", reply="535 never"), ["535 never", "535 never"], False),
        (Rule(on="auth", match="LOGIN*", reply="535 never"), [OK, "503 "], True),
        (Rule(on="auth", reply="235 anybody"), ["235 anybody", "235 anybody"], True),
        (Rule(on="auth", delay=1), [OK, "503 "], True),
    ],
)
def test_rules(rule: Rule, replies: list[str], auth: bool) -> None:
    played = authenticating(PROVEN * 2, rules=[rule])
    assert [reply[: len(expected)] for reply, expected in zip(played.replies[2:], replies, strict=True)] == replies
    assert only_message(played).auth == auth


@pytest.mark.usefixtures("pace")
def test_a_rule_may_give_another_challenge() -> None:
    rule = Rule(on="auth", reply="334 aGk=")
    played = authenticating(b"AUTH PLAIN\r\n" + plain("joe", "s3cr:et") + b"\r\n", rules=[rule])
    assert played.replies[2:] == ["334 aGk=", OK]


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_a_rule_may_break_off(then: str) -> None:
    played = authenticating(b"AUTH PLAIN\r\nYQ==\r\n", rules=[Rule(on="auth", then=then)], then_end=False)
    assert played.replies[2:] == []
    assert played.has_ended == (then != "hang")


SECRETS = ("s3cr", b64("s3cr:et").decode(), plain("joe", "s3cr:et").decode(), b64("joe").decode())
TRIES = (
    b"AUTH PLAIN " + b64("joe\0s3cr:et") + b"\r\n",
    PROVEN,
    b"AUTH PLAIN\r\n" + plain("joe", "s3cr:et") + b"\r\n",
    b"AUTH LOGIN\r\n" + b64("joe") + b"\r\n" + b64("s3cr:et") + b"\r\n",
    b"AUTH LOGIN " + b64("joe") + b"\r\n" + b64("s3cr:et") + b"\r\n",
    b"AUTH " + plain("joe", "s3cr:et") + b"\r\n",
    b"AUTH GSSAPI " + b64("s3cr:et") + b"\r\n",
    b"AUTH\t" + plain("joe", "s3cr:et") + b"\r\n",
    MAIL + PROVEN,
)


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("data", TRIES, ids=repr)
@pytest.mark.parametrize("rules", [(), (Rule(on="auth", delay=1),), (Rule(on="auth", skip=1, reply="535 no"),)])
def test_a_password_stands_nowhere(data: bytes, rules: tuple[Rule, ...]) -> None:
    played = authenticating(data, rules=rules)
    requests = [event.line for event in played.events if isinstance(event, events.RequestReceived)]
    told = repr(requests) + repr([message.as_json() for message in played.messages])
    assert not any(secret in told for secret in SECRETS), told
    assert any("***" in line for line in requests)


@pytest.mark.usefixtures("pace")
def test_nor_where_a_rule_alone_answers() -> None:
    played = play(EHLO + PROVEN, Configuration(rules=[Rule(on="auth", reply="235 fine")]))
    assert played.replies[-1] == "235 fine"
    assert events.RequestReceived("AUTH PLAIN ***") in played.events


def test_without_either_the_line_is_logged_as_it_is() -> None:
    assert events.RequestReceived("AUTH PLAIN eA==") in play(b"AUTH PLAIN eA==\r\n").events


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("AUTH", "AUTH"),
        ("AUTH PLAIN", "AUTH PLAIN"),
        ("auth plain x y", "auth plain ***"),
        ("AUTH x", "AUTH ***"),
        ("AUTH x y", "AUTH ***"),
        ("AUTH\tLOGIN  x", "AUTH LOGIN ***"),
        ("AUTHOR x", "AUTHOR x"),
        ("NOOP auth", "NOOP auth"),
        ("", ""),
    ],
)
def test_concealed(line: str, shown: str) -> None:
    assert concealed(line) == shown


@pytest.mark.parametrize("users", [["joe"], ["a:b", "s3cret"], [":s3cret"], ["joe:s3cret\0"], "joe:s3cret", [1]])
def test_errors_show_no_password(users: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^auth_users takes") as caught:
        Configuration(auth_users=users)
    assert "s3cret" not in str(caught.value)


def test_nor_does_the_configuration() -> None:
    settings = Configuration(auth_users=["joe:s3cret"])
    assert repr(settings) == "Configuration(auth_users=...)"
    assert settings.auth_users == ("joe:s3cret",)


def test_the_end_amid_an_exchange() -> None:
    session, played = Session(command_table(Configuration(auth_users=USERS))), Played()
    session.receive_data(EHLO + b"AUTH LOGIN\r\n")
    pull(session, played)
    assert session.state is State.RESPONSE
    session.receive_end()
    pull(session, played)
    assert played.has_ended
    assert not only_message(played).auth
