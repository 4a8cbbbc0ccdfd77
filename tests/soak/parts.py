"""The parts that the soak's clients play: what each says, in order, and what it has to hear."""

from __future__ import annotations

import time

from tests.helpers import BODY, HELO, MAIL, RCPT

from .crowd import Ask, Part

OK, GO_ON, READY, BYE = b"250", b"354", b"220", b"221"
GREETING = Ask(b"", (READY,))
HELLO = Ask(HELO, (OK,))
QUIT = Ask(b"QUIT\r\n", (BYE,))
_RSET = b"RSET\r\n"
_ENVELOPE = MAIL + RCPT + b"DATA\r\n"
_TO_BODY = (OK, OK, GO_ON)
_TRANSACTION = (
    Ask(MAIL, (OK,)),
    Ask(RCPT, (OK,)),
    Ask(b"DATA\r\n", (GO_ON,)),
    Ask(BODY + b".\r\n", (OK,)),
    Ask(_RSET, (OK,)),
)


def sender(messages: int, taken: list[float]) -> Part:
    """Messages, command by command; the time of each reply goes into ``taken``."""
    yield GREETING
    yield HELLO
    for _ in range(messages):
        for ask in _TRANSACTION:
            seconds = yield ask
            taken.append(seconds)
    yield QUIT


def noops(begin: float, count: int, pace: float, taken: list[float]) -> Part:
    """NOOP ``count`` times, ``pace`` seconds apart, after ``begin`` seconds; each reply's time goes into ``taken``."""
    yield GREETING
    yield HELLO
    at = time.perf_counter() + begin
    for number in range(count):
        seconds = yield Ask(b"NOOP\r\n", (OK,), at + number * pace)
        taken.append(seconds)
    yield QUIT


def pipelining_sender(numbers: range) -> Part:
    """Numbered messages, one round trip each: a body, and behind it the next one's envelope (RFC 2920)."""
    yield GREETING
    yield HELLO
    yield Ask(_ENVELOPE, _TO_BODY)
    for number in numbers[:-1]:
        yield Ask(wire_body(number) + _RSET + _ENVELOPE, (OK, OK, *_TO_BODY))
    yield Ask(wire_body(numbers[-1]), (OK,))
    yield QUIT


def body(number: int) -> str:
    """A body that no other message has."""
    return f"Subject: message {number}\r\n\r\nThis is number {number}.\r\n"


def wire_body(number: int) -> bytes:
    """The same with its end."""
    return body(number).encode("ascii") + b".\r\n"
