"""Rules in a session: which one fires, what it replies, what the record says; fed whole and cut everywhere.

All of it is held twice: where a decision is made at once, as with few rules, and where it is made in steps.
"""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Message, Rule
from smtpmock_cli.smtp import counters, events
from smtpmock_cli.smtp.occasion import said, subject
from smtpmock_cli.smtp.rules import Rules, drip
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, RCPT, TRANSACTION, Played, play

from .pacing import made

pytestmark = pytest.mark.usefixtures("pace")

OK = Rule(on="rcpt", reply="250 2.1.5 Ok")
BUSY = "451 4.7.1 Try again"


def ruled(data: bytes, *rules: Rule, then_end: bool = True, **settings: Any) -> Played:
    return play(data, Configuration(rules=rules, **settings), then_end=then_end)


def rule(on: str, **keys: Any) -> Rule:
    return Rule(on=on, **({"reply": BUSY} | keys))


LINES = {
    "helo": HELO,
    "mail": HELO + MAIL,
    "rcpt": ENVELOPE,
    "data": ENVELOPE + b"DATA\r\n",
    "message": TRANSACTION,
    "rset": HELO + b"RSET\r\n",
    "noop": b"NOOP\r\n",
    "quit": b"QUIT\r\n",
    "auth": b"AUTH PLAIN AGEAYg==\r\n",
    "starttls": b"starttls\r\n",
    "unknown": b"FOO\r\n",
}


@pytest.mark.parametrize("on", LINES)
def test_every_occasion(on: str) -> None:
    played = ruled(LINES[on], rule(on, name="it"))
    assert played.replies[-1] == BUSY
    assert events.RuleFired("it") in played.events
    assert played.messages[0].rules == ["it"]
    others = [other for other in LINES if other not in (on, "unknown")]
    assert ruled(LINES[on], *(rule(other, match="nobody") for other in others)).replies == play(LINES[on]).replies


def test_on_connect() -> None:
    played = ruled(b"NOOP\r\n", Rule(on="connect", match="192.0.2.*", reply="554 No"))
    assert played.replies == ["554 No", "250 Ok"]
    assert ruled(b"", Rule(on="connect", match="198.*", reply="554 No")).replies == ["220 Welcome"]


def test_any_is_every_one_of_them() -> None:
    played = ruled(TRANSACTION + b"QUIT\r\n", Rule(on="any", delay=1, name="slow"))
    assert played.replies == play(TRANSACTION + b"QUIT\r\n").replies
    assert played.events.count(events.ReplyDelayed(1)) == len(played.replies) == 7
    assert played.messages[0].rules == ["slow"]


def test_the_first_that_fires_wins_and_the_others_count_nothing() -> None:
    first, second = rule("noop", times=1, reply="250 first"), rule("noop", times=1, reply="250 second")
    assert ruled(b"NOOP\r\n" * 3, first, second).replies[1:] == ["250 first", "250 second", "250 Ok"]
    assert ruled(b"NOOP\r\n" * 2, Rule(on="noop", then="continue"), first).replies[1:] == ["250 Ok", "250 Ok"]


@pytest.mark.parametrize(
    ("keys", "fired"),
    [
        ({}, "xxxxxx"),
        ({"times": 2}, "xx----"),
        ({"skip": 2}, "--xxxx"),
        ({"skip": 1, "times": 2}, "-xx---"),
        ({"every": 2}, "-x-x-x"),
        ({"skip": 1, "every": 2, "times": 2}, "--x-x-"),
        ({"probability": 0}, "------"),
        ({"probability": 1}, "xxxxxx"),
        ({"over_rate": "2/60s"}, "--xxxx"),
        ({"over_rate": "2/60s", "times": 1}, "--x---"),
        ({"over_connections": 1}, "------"),
        ({"over_connections": 0}, "xxxxxx"),
        ({"sender": "*"}, "------"),
    ],
)
def test_when_it_fires(keys: dict[str, Any], fired: str) -> None:
    replies = ruled(b"NOOP\r\n" * 6, rule("noop", **keys)).replies[1:]
    assert "".join("x" if reply == BUSY else "-" for reply in replies) == fired


def draws(seed: int | None, number: int) -> list[bool]:
    """Whether the nth of rules that fire every other time fires, 64 times."""
    never = [rule("rset")] * (number - 1)
    rules = Rules([*never, rule("noop", probability=0.5)], seed, lambda: 0.0, lambda *_: 1)
    script = rules.script(1, "")
    return [made(script.on_command("noop", "NOOP", None, Message())) is not None for _ in range(64)]


SEEDS = (0, 1, 2, 10, 11, 100, 999, 1000, 1001, 2**62, 2**63 - 1)
NUMBERS = (1, 2, 10, 11, 999, 1000, 1001, 1002, 2001, 10_000)


def test_no_rule_of_one_seed_fires_as_a_rule_of_another() -> None:
    assert draws(0, 1001) != draws(1, 1)
    drawn = {tuple(draws(seed, number)) for seed in SEEDS for number in NUMBERS}
    assert len(drawn) == len(SEEDS) * len(NUMBERS)


@pytest.mark.parametrize(
    ("seed", "number", "expected"),
    [
        (0, 1, "37024135cf3fcfaa"),
        (1, 1, "80423aad12a53192"),
        (0, 1001, "de82b44172976a54"),
        (2**63 - 1, 3, "3c0f5f7d10ec033b"),
    ],
)
def test_a_seed_is_the_same_run_on_every_platform_and_python(seed: int, number: int, expected: str) -> None:
    bits = "".join(str(int(drawn)) for drawn in draws(seed, number))
    assert f"{int(bits, 2):016x}" == expected


def test_the_same_seed_is_the_same_run() -> None:
    def run(seed: int | None) -> list[str]:
        rules = (rule("noop", probability=0.5, reply="451 a"), rule("noop", probability=0.5, reply="451 b"))
        return ruled(b"NOOP\r\n" * 20, *rules, seed=seed).replies

    assert run(7) == run(7)
    assert len({tuple(run(seed)) for seed in range(10)}) == 10
    counted = Rules([rule("noop", probability=0.5)], None, lambda: 0.0, lambda *_: 1)
    other = Rules([rule("noop", probability=0.5)], None, lambda: 0.0, lambda *_: 1)
    fired = [[made(of.script(1, "").on_unknown("x", Message())) for _ in range(9)] for of in (counted, other)]
    assert fired == [[None] * 9] * 2
    draws = [
        [made(of.script(1, "").on_command("noop", "NOOP", None, Message())) is not None for _ in range(64)]
        for of in (counted, other)
    ]
    assert draws[0] != draws[1]


class World:
    """A clock and a number of connections, and rules that see them."""

    def __init__(self, *rules: Rule) -> None:
        self.now = 0.0
        self.connections: dict[str | None, int] = {None: 1}
        self.rules = Rules(rules, 0, lambda: self.now, lambda _session, client: self.connections.get(client, 1))

    def fires(self, client: str = "c", session: int = 1, sender: str = "s@x", recipient: str = "r@x") -> bool:
        message = Message()
        message.mailfrom, message.reverse_path = True, sender
        script = self.rules.script(session, client)
        return made(script.on_command("rcpt", f"RCPT TO:<{recipient}>", recipient, message)) is not None


def test_a_rate_counts_what_passed_within_its_time() -> None:
    world = World(rule("rcpt", over_rate="2/10s"))
    assert [world.fires() for _ in range(4)] == [False, False, True, True]
    world.now = 9.9
    assert world.fires()
    world.now = 10.0
    assert [world.fires() for _ in range(3)] == [False, False, True]


def test_over_connections() -> None:
    world = World(rule("rcpt", over_connections=2))
    world.connections = {None: 3, "c": 1}
    assert world.fires()
    world = World(rule("rcpt", over_connections=2, per="client"))
    world.connections = {None: 3, "c": 1, "d": 3}
    assert not world.fires(client="c")
    assert world.fires(client="d")


@pytest.mark.parametrize(
    ("per", "other"),
    [
        ("session", {"session": 2}),
        ("client", {"client": "d"}),
        ("sender", {"sender": "t@x"}),
        ("recipient", {"recipient": "q@x"}),
        ("triplet", {"client": "d"}),
        ("triplet", {"sender": "t@x"}),
        ("triplet", {"recipient": "q@x"}),
    ],
)
def test_counters_are_for_whom_they_say(per: str, other: dict[str, Any]) -> None:
    world = World(rule("rcpt", times=1, per=per))
    assert [world.fires(), world.fires(), world.fires(**other), world.fires(**other)] == [True, False, True, False]
    assert not world.fires(sender="S@X", recipient="R@x")
    world = World(rule("rcpt", times=1))
    assert [world.fires(), world.fires(**other)] == [True, False]


def test_counters_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "COUNTERS_KEPT", 3)
    world = World(rule("rcpt", times=1, per="client"))
    assert [world.fires(client=client) for client in "abcabc"] == [True] * 3 + [False] * 3
    assert world.fires(client="d")
    assert not world.fires(client="b")
    assert world.fires(client="a"), "the one that was not used for longest is forgotten"
    assert not world.fires(client="b")


@pytest.mark.parametrize(
    ("match", "address", "fits"),
    [
        ("*@full.example", "a@full.example", True),
        ("*@full.example", "a@FULL.example", True),
        ("FULL.example", "a@full.example", True),
        ("*.example", "a@full.example", True),
        ("a@full.example", "a@full.example", True),
        ("?@full.example", "ab@full.example", False),
        ("full", "a@full.example", False),
        ("*@full.example", "a@full.example.com", False),
        ("[ab]@*", "b@full.example", True),
    ],
)
def test_match(match: str, address: str, fits: bool) -> None:
    expected = [BUSY] if fits else ["250 Received"]
    line = b"MAIL FROM:<%s>\r\n" % address.encode()
    assert ruled(HELO + line, rule("mail", match=match)).replies[-1:] == expected
    assert (
        ruled(HELO + MAIL + line.replace(b"MAIL FROM", b"RCPT TO"), rule("rcpt", match=match)).replies[-1:] == expected
    )
    quoted = Rule(on="rset", sender=match, reply=BUSY)
    assert (ruled(HELO + line + b"RSET\r\n", quoted).replies[-1] == BUSY) is False, "RSET has forgotten the sender"
    assert ruled(HELO + line + RCPT, Rule(on="rcpt", sender=match, reply=BUSY)).replies[-1:] == expected


def test_recipient_is_any_of_them() -> None:
    two = HELO + MAIL + b"RCPT TO:<a@x.com>\r\nRCPT TO:<b@y.com>\r\nDATA\r\n"
    by_recipient = Rule(on="data", recipient="*@x.com", reply=BUSY)
    assert ruled(two, by_recipient, multiple_rcptto=True).replies[-1] == BUSY
    assert ruled(two, by_recipient).replies[-1].startswith("354")
    at_rcpt = Rule(on="rcpt", recipient="*@x.com", reply=BUSY)
    assert ruled(two, at_rcpt, multiple_rcptto=True).replies[3:5] == [BUSY, "250 Received"]


@pytest.mark.parametrize(
    ("on", "line", "text"),
    [
        ("helo", "HELO a b", "a b"),
        ("mail", "MAIL FROM:<a@b> SIZE=1", "a@b"),
        ("mail", "MAIL FROM: <>", ""),
        ("rcpt", "RCPT TO: a@b x", "a@b"),
        ("rcpt", "RCPT", ""),
        ("data", "DATA", ""),
        ("auth", "AUTH PLAIN x", "PLAIN x"),
    ],
)
def test_what_a_line_says(on: str, line: str, text: str) -> None:
    assert said(on, line) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"Subject: hi\r\n\r\nSubject: no\r\n", "hi"),
        (b"A: b\nSUBJECT : a\n  b\n\tc\n", "a  b\tc".replace("\t", " ")),
        (b"Subject: =?utf-8?q?caf=C3=A9?= =?utf-8?b?IMOp?=\r\n\r\n", "café é"),
        (b"Subject: =?no-such?q?x?=\r\n\r\n", "=?no-such?q?x?="),
        (b"Subject: =?utf-8?b?a?=\r\n\r\n", "=?utf-8?b?a?="),
        (b"Subject: =?\xff?q?x?=\r\n\r\n", "=?\ufffd?q?x?="),
        ("Subject: =?é?q?x?=\r\n\r\n".encode(), "=?é?q?x?="),
        (b"Subject: =?utf\xd6\xc9?q?x?=\r\n\r\n", "=?utf\ufffd\ufffd?q?x?="),
        (b"Subject: caf\xc3\xa9 \xff\r\n\r\n", "café \ufffd"),
        (b"\r\nSubject: hi\r\n", ""),
        (b"", ""),
    ],
)
def test_subject(body: bytes, text: str) -> None:
    assert subject(body) == text


def test_on_message() -> None:
    assert ruled(TRANSACTION, rule("message", match="HI")).replies[-1] == BUSY
    assert ruled(TRANSACTION, rule("message", match="ho")).replies[-1] == "250 Received"
    assert ruled(TRANSACTION, rule("message", contains="Hello")).replies[-1] == BUSY
    assert ruled(TRANSACTION, rule("message", contains="hello")).replies[-1] == "250 Received"
    assert ruled(TRANSACTION + b"QUIT\r\n", rule("any", contains="Hello")).replies[-2:] == [
        BUSY,
        "221 Closing connection",
    ]


def test_success_is_for_the_record_the_sequence_and_fail_fast() -> None:
    line = HELO + MAIL + b"RCPT TO:<nobody>\r\nDATA\r\n" + BODY + b".\r\n"
    (message,) = ruled(line, OK).messages
    assert message.is_consistent
    assert message.forward_paths == ["nobody"]
    assert message.rcptto_request_response == [("RCPT TO:<nobody>", "250 2.1.5 Ok")]
    (message,) = ruled(line, OK, multiple_rcptto=True).messages
    assert message.is_consistent
    (message,) = ruled(TRANSACTION, rule("rcpt")).messages
    assert (message.rcptto, message.data, message.forward_paths) == (False, False, [])
    played = ruled(TRANSACTION, rule("rcpt"), is_cmd_fail_fast=True)
    assert played.replies[-1] == BUSY
    assert played.has_ended
    assert ruled(TRANSACTION, OK, is_cmd_fail_fast=True).messages[0].is_consistent


def test_on_data_with_an_error_no_body_is_read() -> None:
    played = ruled(ENVELOPE + b"DATA\r\nNOOP\r\n", rule("data"))
    assert played.replies[-2:] == [BUSY, "250 Ok"]
    assert ruled(ENVELOPE + b"DATA\r\nNOOP\r\n", rule("data", reply="250 ?")).replies[-1] == "250 Ok"
    played = ruled(ENVELOPE + b"DATA\r\nNOOP\r\n.\r\n", rule("data", reply="354 go"))
    assert played.replies[-2:] == ["354 go", "250 Received"]


def test_a_message_refused_and_one_accepted_against_the_limit() -> None:
    (message,) = ruled(TRANSACTION, rule("message")).messages
    assert (message.msg, message.msg_response, message.msg_request) == (False, BUSY, BODY)
    (message,) = ruled(TRANSACTION, rule("message", reply="250 fine"), msg_size_limit=1).messages
    assert (message.msg, message.msg_response, message.msg_request) == (True, "250 fine", b"")


@pytest.mark.parametrize("on", LINES)
def test_close_reset_and_hang_with_no_reply(on: str) -> None:
    before = ruled(LINES[on], then_end=False).replies[:-1]
    more = LINES[on] + b"NOOP\r\n" * 3
    for then in ("close", "reset", "hang"):
        played = ruled(more, Rule(on=on, then=then), then_end=False)
        assert played.replies == before
        assert played.has_ended == (then != "hang")
        assert (events.CONNECTION_RESET in played.events) == (then == "reset")
        assert len(played.messages) == (then != "hang")
    played = ruled(more, Rule(on=on, then="hang"))
    assert played.has_ended
    assert len(played.messages) == 1


@pytest.mark.parametrize("line", [MAIL, b"QUIT\r\n"])
def test_one_that_hangs_is_not_ended_by_fail_fast(line: bytes) -> None:
    hang = Rule(on=["mail", "quit"], then="hang")
    assert not ruled(HELO + line, hang, then_end=False, is_cmd_fail_fast=True).has_ended
    assert len(ruled(HELO + line, hang, is_cmd_fail_fast=True).messages) == 1


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_last_reply(then: str) -> None:
    played = ruled(ENVELOPE + b"NOOP\r\n", Rule(on="rcpt", reply="421 Bye", then=then))
    assert played.replies[-1] == "421 Bye"
    assert played.messages[0].rcptto_request_response == [("RCPT TO:<b@example.com>", "421 Bye")]
    order = [type(event) for event in played.events[played.events.index(events.Reply("421 Bye")) :]]
    assert order == [events.Reply, *[events.ConnectionReset] * (then == "reset"), events.SessionEnded]


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
@pytest.mark.parametrize(
    ("after", "is_cut"), [(1, True), (len(BODY) + 2, True), (len(BODY) + 3, False), (10**6, False)]
)
def test_a_cut_in_the_middle_of_a_body(then: str, after: int, is_cut: bool) -> None:
    cutter = Rule(on="data", after_bytes=after, then=then)
    played = ruled(TRANSACTION + b"NOOP\r\n", cutter, then_end=False)
    if not is_cut:
        assert played.replies[-2:] == ["250 Received", "250 Ok"]
        return
    assert played.replies[-1].startswith("354")
    assert played.has_ended == (then != "hang")
    assert (events.CONNECTION_RESET in played.events) == (then == "reset")
    assert sum(len(event.data) for event in played.events if isinstance(event, events.BodyReceived)) == after
    assert all(not message.msg for message in played.messages)


def test_a_cut_is_for_one_body_only() -> None:
    cutter = Rule(on="data", after_bytes=1000, then="close", times=1)
    twice = TRANSACTION + b"RSET\r\n" + (MAIL + RCPT + b"DATA\r\n") + b"x" * 2000 + b"\r\n.\r\n"
    assert ruled(twice, cutter).replies[-1] == "250 Received"


def test_a_reply_in_drops() -> None:
    assert drip(events.Reply("250 Ok"), 1000) == [events.Reply("250 Ok")]
    dripped = drip(events.Reply("250 Ok"), 2)
    parts = [event.wire for event in dripped if isinstance(event, (events.ReplyPart, events.Reply))]
    assert b"".join(parts) == b"250 Ok\r\n"
    assert dripped.count(events.DripDelayed(0.5)) == 7
    assert dripped[-1] == events.Reply("250 Ok", b"\n")
    assert ruled(b"NOOP\r\n", Rule(on="noop", drip=3)).replies == ["220 Welcome", "250 Ok"]


def test_delays() -> None:
    assert events.ReplyDelayed(0.5) in ruled(b"NOOP\r\n", Rule(on="noop", delay=0.5)).events
    own: dict[str, Any] = {"response_delay_noop": 3}
    assert events.ReplyDelayed(3) in ruled(b"NOOP\r\n", rule("noop"), **own).events
    assert events.ReplyDelayed(3) not in ruled(b"NOOP\r\n", rule("noop", delay=0), **own).events


def test_several_lines() -> None:
    hello = Rule(on="helo", reply=["250 mail.example.com", "250 SIZE 1000", "250 PIPELINING"])
    played = ruled(HELO, hello)
    assert played.replies[-1] == "250-mail.example.com\r\n250-SIZE 1000\r\n250 PIPELINING"
    assert played.messages[0].helo
    (reply,) = [event for event in played.events if isinstance(event, events.Reply)][1:]
    assert reply.wire == b"250-mail.example.com\r\n250-SIZE 1000\r\n250 PIPELINING\r\n"


@pytest.mark.parametrize("then", ["close", "reset"])
def test_no_body_follows_where_the_reply_to_data_was_the_last(then: str) -> None:
    played = ruled(ENVELOPE + b"DATA\r\n" + BODY, Rule(on="data", reply="354 go", then=then), then_end=False)
    assert played.replies[-1] == "354 go"
    assert played.has_ended
    assert not any(isinstance(event, events.BodyReceived) for event in played.events)


def test_quit_that_is_refused_ends_nothing() -> None:
    assert ruled(b"QUIT\r\nNOOP\r\n", rule("quit")).replies[1:] == [BUSY, "250 Ok"]
    assert ruled(b"QUIT\r\nNOOP\r\n", rule("quit", reply="221 so long")).replies[1:] == ["221 so long"]
