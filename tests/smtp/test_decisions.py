"""A decision that takes long: what it costs is counted, and whatever happens meanwhile, the session says the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any

import pytest

from smtpmock_cli import Configuration, Message, Rule
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events, grams, index, selection
from smtpmock_cli.smtp.decision import STEP, Decision, Pace
from smtpmock_cli.smtp.dialogue import State
from smtpmock_cli.smtp.rules import Rules
from smtpmock_cli.smtp.session import Session
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, RCPT, TRANSACTION, Played, pull
from tests.linear.steps import bytecodes

from .pacing import in_steps, made, slices_looked_at

BUSY = "451 4.7.1 Try again"
THOUSANDS = 10_000
MOST_BYTECODES = 250_000
"""What one event may take: two milliseconds or three. To ask 10,000 rules one after the other takes a million."""


def begun(*rules: Rule, **settings: Any) -> Session:
    configuration = Configuration(rules=rules, **settings)
    at_work = Rules(configuration.rules, 1, lambda: 0.0, lambda *_: 1)
    return Session(command_table(configuration), at_work.script(1, "192.0.2.1"))


def heard(session: Session, data: bytes) -> Played:
    """All that comes of the bytes and the end behind them."""
    played = Played()
    session.receive_data(data)
    session.receive_end()
    pull(session, played)
    return played


# What can happen while a decision is under way.


@pytest.fixture
def steps() -> Iterator[None]:
    with in_steps():
        yield


RULES = (
    Rule(on="connect", skip=1, reply="220 again"),
    Rule(on="mail", match="*@example.com", sender="a@*", delay=1),
    Rule(on="rcpt", match="nobody@*", reply=BUSY),
    Rule(on="data", recipient="b@example.com", name="to b", delay=0.5),
    Rule(on="message", contains="nothing of it", reply=BUSY),
    Rule(on="message", contains="Hello", match="hi", reply="250 by a rule"),
    Rule(on="unknown", match="F*", reply="502 by a rule"),
)
STREAM = TRANSACTION + b"FOO\r\n" + TRANSACTION + b"QUIT\r\n"


def pulled(session: Session, at: int, meanwhile: Callable[[Session], None]) -> tuple[Played, int]:
    """What a session says where something happens at one of its pauses; and how many there were."""
    played, pauses = Played(), 0
    while True:
        event = session.next_event()
        if event is events.DECISION_PENDING:
            pauses += 1
            if pauses == at:
                assert session.state is State.DECIDING
                meanwhile(session)
        played.add(event)
        if event is events.NEED_DATA or event is events.SESSION_ENDED:
            return played, pauses


def nothing(_: Session) -> None:
    pass


@pytest.mark.usefixtures("steps")
def test_what_arrives_meanwhile_waits() -> None:
    session = begun(*RULES)
    session.receive_data(STREAM)
    session.receive_end()
    whole, pauses = pulled(session, 0, nothing)
    assert whole.has_ended
    assert pauses > 50
    assert [reply for reply in whole.replies if "by a rule" in reply] == [
        "250 by a rule",
        "502 by a rule",
        "250 by a rule",
    ]
    for at in range(1, pauses + 1, 7):
        session = begun(*RULES)
        session.receive_data(STREAM[:100])

        def send_the_rest(session: Session) -> None:
            session.receive_data(STREAM[100:])
            session.receive_end()

        played, before = pulled(session, at, send_the_rest)
        if before < at:  # it came to no decision without more bytes
            continue
        assert played.comparable() == whole.comparable(), at


@pytest.mark.usefixtures("steps")
def test_an_end_of_the_input_meanwhile_comes_after() -> None:
    session = begun(*RULES)
    session.receive_data(TRANSACTION)
    expected, pauses = pulled(session, 0, nothing)
    expected.events.pop()
    for at in range(1, pauses + 1, 3):
        session = begun(*RULES)
        session.receive_data(TRANSACTION)
        played, _ = pulled(session, at, Session.receive_end)
        assert played.comparable()[: len(expected.events)] == expected.comparable(), at
        assert played.has_ended
        assert len(played.messages) == 1


@pytest.mark.usefixtures("steps")
def test_a_stop_meanwhile_ends_it_without_a_reply() -> None:
    session = begun(*RULES)
    session.receive_data(STREAM)
    whole, pauses = pulled(session, 0, nothing)
    for at in range(1, pauses + 1, 3):
        session = begun(*RULES)
        session.receive_data(STREAM)
        played, _ = pulled(session, at, Session.end)
        assert played.has_ended
        assert len(played.messages) == 1
        assert played.replies == whole.replies[: len(played.replies)]
        (message,) = played.messages
        assert not message.msg or message.msg_response, "accepted, and nobody was told"
        assert session.next_event() is events.SESSION_ENDED


@pytest.mark.usefixtures("steps")
def test_other_rules_meanwhile_are_for_the_next_command() -> None:
    other = Rules([Rule(on="any", reply="250 other")], 1, lambda: 0.0, lambda *_: 1)

    def reconfigure(session: Session) -> None:
        session.script = other.script(1, "192.0.2.1")

    session = begun(Rule(on="noop", skip=1, reply="250 old"))
    session.receive_data(b"NOOP\r\n" * 3)
    first, greeting = pulled(begun(Rule(on="noop", skip=1, reply="250 old")), 0, nothing)
    assert first.replies == ["220 Welcome"]
    played, _ = pulled(session, greeting + 1, reconfigure)
    assert played.replies == ["220 Welcome", "250 Ok", "250 other", "250 other"]


@pytest.mark.usefixtures("steps")
def test_two_sessions_make_ready_together() -> None:
    """Neither waits for the other, and one that goes in the middle of it leaves nothing half done."""
    rules = [Rule(on="noop", match=f"*number {number} of*", reply=f"250 {number}") for number in range(50)]
    for leaves_after in (1, 2, 3, 10, 50, 100, 10_000):
        at_work = Rules(rules, 1, lambda: 0.0, lambda *_: 1)
        one, other = (at_work.script(1, "").on_command("noop", "NOOP number 7 of", "x", Message()) for _ in "12")
        assert isinstance(one, Decision)
        for _ in range(leaves_after):
            if one.step():
                break
        assert isinstance(other, Decision)
        other.step()
        del one
        fired = made(other)
        assert fired is not None
        assert at_work.fired == [0] * 7 + [1] + [0] * 42 or at_work.fired == [0] * 7 + [2] + [0] * 42
        assert at_work.pace.active == 0


BY_PART = {"on": "noop", "match": "*number {} of*"}, b"NOOP number 7 of them\r\n"
BY_ALL = {"on": "noop", "match": "number {} of them"}, b"NOOP number 7 of them\r\n"
BY_RECIPIENT = {"on": "data", "recipient": "*number.{}@*"}, HELO + MAIL + b"RCPT TO:<number.7@a.com>\r\nDATA\r\n"
BY_TEXT = {"on": "message", "contains": "is number {}\r\n"}, ENVELOPE + b"DATA\r\nThis is number 7\r\n.\r\n"


@pytest.mark.parametrize(
    ("keys", "data", "module"),
    [
        pytest.param(*BY_PART, selection, id="what to look up"),
        pytest.param(*BY_PART, index, id="parts of globs"),
        pytest.param(*BY_PART, grams, id="their grams"),
        pytest.param(*BY_ALL, index, id="globs without a wildcard"),
        pytest.param(*BY_RECIPIENT, index, id="globs for recipients"),
        pytest.param(*BY_RECIPIENT, grams, id="their grams, too"),
        pytest.param(*BY_TEXT, grams, id="texts"),
    ],
)
def test_want_of_memory_leaves_no_rule_out(
    keys: dict[str, str], data: bytes, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the session whose command it meets; the next one meets all rules."""
    rules = [Rule(reply=BUSY, **{key: value.format(number) for key, value in keys.items()}) for number in range(200)]

    def session() -> Session:
        return Session(command_table(Configuration(rules=rules)), at_work.script(1, "192.0.2.1"))

    prepare = module._prepare

    def failing(*args: Any) -> Iterator[int]:
        yield from islice(prepare(*args), 1)
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(module, "_prepare", failing)
        at_work = Rules(rules, 1, lambda: 0.0, lambda *_: 1)
        with pytest.raises(MemoryError):
            heard(session(), data)
    assert BUSY in heard(session(), data).replies
    assert at_work.pace.active == 0


# What it costs.


def most_bytecodes(session: Session, data: bytes) -> tuple[int, int]:
    """What the costliest event takes, and all together."""
    costs = []
    session.receive_data(data)
    while True:
        told: list[events.Event] = []
        costs.append(bytecodes(partial(_tell_next, session, told)))
        if isinstance(told[0], events.NeedData):
            return max(costs), sum(costs)


def _tell_next(session: Session, told: list[events.Event]) -> None:
    told.append(session.next_event())


KINDS: dict[str, tuple[str, Callable[[int], dict[str, str]]]] = {
    "mail": ("mail", lambda number: {"match": f"user{number}@example.com"}),
    "suffixes": ("mail", lambda number: {"match": f"*@domain{number}.example"}),
    "sender": ("mail", lambda number: {"sender": f"user{number}@example.com"}),
    "rcpt": ("rcpt", lambda number: {"match": f"user{number}@example.com"}),
    "helo": ("helo", lambda number: {"match": f"host{number}.example.com"}),
    "unknown": ("unknown", lambda number: {"match": f"FOO {number} *"}),
    "subjects": ("message", lambda number: {"match": f"*order {number} *"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_globs_cost_what_few_do(kind: str) -> None:
    on, keys = KINDS[kind]
    session = begun(*(Rule(on=on, reply=BUSY, **keys(number)) for number in range(THOUSANDS)))
    again = TRANSACTION.replace(b"<a@", b"<x@").replace(b"<b@", b"<y@").replace(b": hi", b": ho") + b"FOO BAR\r\n"
    assert not any(isinstance(event, events.RuleFired) for event in heard_so_far(session, TRANSACTION + b"FOO\r\n"))
    most, together = most_bytecodes(session, again.replace(b"example.com", b"example.org"))
    assert together < 15_000, "six commands and a message"
    assert most < 3_000


def heard_so_far(session: Session, data: bytes) -> list[events.Event]:
    session.receive_data(data)
    told = []
    while (event := session.next_event()) not in (events.NEED_DATA, events.SESSION_ENDED):
        told.append(event)
    return told


def test_long_globs_are_made_ready_in_steps() -> None:
    session = begun(*(Rule(on="noop", match="*" + "a?" * 500 + str(number), reply=BUSY) for number in range(200)))
    most, together = most_bytecodes(session, b"NOOP x\r\n")
    assert most < MOST_BYTECODES < together


def test_to_connect_costs_what_it_does_with_few_rules() -> None:
    rules = [Rule(on="connect", match=f"192.0.2.{number}.x", reply="554 No") for number in range(THOUSANDS)]
    at_work, table = Rules(rules, 1, lambda: 0.0, lambda *_: 1), command_table(Configuration(rules=rules))
    pull(Session(table, at_work.script(1, "192.0.2.1")), Played())
    assert bytecodes(lambda: pull(Session(table, at_work.script(2, "198.51.100.1")), Played())) < 3_000


@pytest.mark.parametrize(
    "keys",
    [
        {"skip": 10**6},
        {"probability": 0},
        {"over_rate": "10000/10s"},
        {"skip": 10**6, "per": "triplet"},
        {"match": "*", "skip": 10**6},
        {"match": "?*", "sender": "*", "over_connections": 5},
        {"match": "[a-z]*", "skip": 10**6},
        {"recipient": "*x*", "skip": 10**6},
    ],
    ids=str,
)
def test_thousands_of_rules_that_fit_are_asked_in_steps(keys: dict[str, Any]) -> None:
    session = begun(*(Rule(on="rcpt", reply=BUSY, **keys) for _ in range(THOUSANDS)))
    most, _ = most_bytecodes(session, HELO + MAIL + RCPT)
    assert most < MOST_BYTECODES
    assert heard_so_far(session, RCPT)[-1] == events.Reply("250 Received")


def test_a_body_is_looked_at_in_steps() -> None:
    texts = [f"this is number {number} of them" for number in range(3000)]
    session = begun(*(Rule(on="message", contains=text, reply=BUSY) for text in texts))
    most, _ = most_bytecodes(session, ENVELOPE + b"DATA\r\n" + b"this is number x of them\r\n" * 4000 + b".\r\n")
    assert most < MOST_BYTECODES
    assert heard_so_far(session, ENVELOPE + b"DATA\r\nthis is number 2999 of them\r\n.\r\n")[-1] == events.Reply(BUSY)


def test_a_step_looks_at_little_of_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """In C it takes no bytecodes: so many slices are looked at from one pause to the next, and less where many wait."""
    looked_at = slices_looked_at(monkeypatch)
    texts = [f"{number} of them" for number in range(3000)]
    rules = [Rule(on="message", contains=text, reply=BUSY) for text in texts]
    at_work, settings = Rules(rules, 1, lambda: 0.0, lambda *_: 1), Configuration(rules=rules)
    body = ENVELOPE + b"DATA\r\n" + b"x" * 500_000 + b"\r\n.\r\n"

    def round_of(sessions: list[Session]) -> int:
        before = len(looked_at)
        for session in sessions:
            while session.next_event() is not events.DECISION_PENDING:
                pass
        return len(looked_at) - before

    for count, most in ((1, 6), (30, 30)):
        sessions = [Session(command_table(settings), at_work.script(number, "")) for number in range(count)]
        for session in sessions:
            session.receive_data(body)
        while not round_of(sessions):  # their grams are found first
            pass
        assert max(round_of(sessions) for _ in range(8)) <= most
        for session in sessions:
            session.end()


@pytest.mark.parametrize("several", [1, 100])
def test_thousands_of_recipients_are_asked_in_steps(several: int) -> None:
    rules = [Rule(on="data", recipient=f"nobody{number}@*", reply=BUSY) for number in range(several)]
    session = begun(*rules, multiple_rcptto=True)
    told = heard_so_far(session, HELO + MAIL + b"".join(b"RCPT TO:<u%d@example.com>\r\n" % n for n in range(9_999)))
    assert told[-1] == events.Reply("250 Received")
    most, _ = most_bytecodes(session, b"RCPT TO:<nobody0@example.com>\r\n")
    assert most < 3_000, "each RCPT is about one"
    most, together = most_bytecodes(session, b"DATA\r\n")
    assert most < MOST_BYTECODES
    assert together < 10_000_000, "by the sum of rules and recipients, not by their product"
    assert session.message.data_response == BUSY


def test_small_decisions_that_come_together_pause_too() -> None:
    """Each is made at once, and a client may send thousands of commands in one go."""
    session = begun(*(Rule(on="noop", skip=10**6, reply=BUSY) for _ in range(50)))
    told = heard_so_far(session, b"NOOP\r\n" * 1000)
    assert 20 < told.count(events.DECISION_PENDING) < 100
    assert heard_so_far(session, b"NOOP\r\n").count(events.DECISION_PENDING) <= 1


def test_few_globs_that_are_slow_to_match_are_asked_in_steps() -> None:
    """At worst, each character of the glob is compared with each of the text: here, together, for a second."""
    globs = ["*" + "a" * 200 + f"[bc]{number}*" for number in range(40)]
    rules = [Rule(on="unknown", match=glob, reply="550 No") for glob in globs]
    decided = Rules(rules, 1, lambda: 0.0, lambda *_: 1).script(1, "").on_unknown("a" * 4000, Message())
    assert isinstance(decided, Decision)
    assert made(decided) is None


def test_few_rules_pause_never() -> None:
    session = begun(*RULES)
    assert events.DECISION_PENDING not in heard_so_far(session, STREAM)


def test_whoever_decides_alone_has_the_whole_step() -> None:
    pace = Pace()
    assert pace.step == STEP
    pace.active = 4
    assert pace.step == STEP // 4
    pace.active = 10_000
    assert pace.step > 0


# What it leaves.


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What is freed without the collector, because nothing of it refers to itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 50, 10_000])
def test_a_session_that_goes_is_gone_with_its_body(steps: int) -> None:
    with in_steps():
        session = begun(*RULES)
        session.receive_data(ENVELOPE + b"DATA\r\n" + BODY + b".\r\n")
        message = weakref.ref(session.message)
        for _ in range(steps):
            if session.next_event() is events.NEED_DATA:
                break
        del session
        assert message() is None


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("data", [b"", HELO, TRANSACTION])
def test_rules_that_are_replaced_are_gone(count: int, data: bytes) -> None:
    keys = {"match": "*a{}*", "sender": "*b{}", "recipient": "{}*"}
    rules = [
        Rule(on="any", delay=1, contains=f"{number}", **{key: value.format(number)})
        for number in range(count)
        for key, value in keys.items()
    ]
    at_work = Rules(rules, 1, lambda: 0.0, lambda *_: 1)
    freed = weakref.ref(at_work)
    session = Session(command_table(Configuration(rules=rules)), at_work.script(1, ""))
    heard_so_far(session, data)
    del at_work, session
    assert freed() is None
