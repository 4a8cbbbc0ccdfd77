"""Sessions of several configurations, on any bytes, cut anywhere.

An input is: configuration, first cut, size of the other pieces, stretch, and the stream. A stretch from 1 to 16 puts
a filling into the stream that takes a line to the limit of its length, give or take some bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.smtp.session import LINE_LIMIT
from tests.fuzz import seeds as shared
from tests.fuzz.conversation import check_conversation, check_in_step, check_message, converse, table
from tests.fuzz.pieces import chosen, cut
from tests.helpers import script

LONGEST = 512
TOKENS = shared.TOKENS

_EVERYTHING = ("SIZE", "8BITMIME", "PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN")
_SEVERAL: dict[str, Any] = {"multiple_rcptto": True, "multiple_message_receiving": True}
_REFUSALS: dict[str, Any] = {
    "blacklisted_helo_domains": ["bad.com"],
    "blacklisted_mailfrom_emails": ["bad@example.com"],
    "blacklisted_rcptto_emails": ["bad@example.com"],
    "not_registered_emails": ["ghost@example.com"],
}
_RULES = (
    Rule(on="connect", reply=["220 Hello", "220 there"], drip=50),
    Rule(on="mail", match="*@*.org", reply="451 Later", delay=1),
    Rule(on="rcpt", skip=1, every=2, reply="250 Fine", per="recipient"),
    Rule(on="data", sender="c@*", then="close", after_bytes=7),
    Rule(on="message", contains="Hello", reply="554 No", probability=0.5),
    Rule(on="message", match="hi*", then="reset"),
    Rule(on="noop", then="hang", times=1, skip=1),
    Rule(on=["unknown", "auth"], reply="250 Whatever", over_rate="2/60s"),
)
CONFIGURATIONS = (
    Configuration(),
    Configuration(**_SEVERAL),
    Configuration(is_cmd_fail_fast=True),
    Configuration(msg_size_limit=20, **_REFUSALS),
    Configuration(extensions=_EVERYTHING, **_SEVERAL, **_REFUSALS),
    Configuration(extensions=_EVERYTHING, msg_size_limit=8, is_cmd_fail_fast=True),
    Configuration(esmtp=True, auth_users=["joe:pw"], auth_required=True, seed=1),
    Configuration(rules=_RULES, seed=1, **_SEVERAL),
    Configuration(rules=_RULES, seed=1, extensions=_EVERYTHING, is_cmd_fail_fast=True),
    Configuration(tls_cert="unread.pem", tls_mode="required", esmtp=True, auth_users=["joe:pw"], seed=1),
    Configuration(tls_cert="unread.pem", tls_mode="implicit", extensions=_EVERYTHING),
)


def check(data: bytes) -> None:
    if len(data) < 4:
        return
    settings = chosen(CONFIGURATIONS, data[0])
    stream = _stretched(data[4:], data[3])
    # What came in plaintext behind STARTTLS is forgotten: there a cut makes a difference, and each line comes alone.
    pieces = stream.splitlines(keepends=True) if settings.tls else cut(stream, data[1], data[2])
    heard = converse(pieces, table(settings, stream), script(settings))
    check_conversation(heard)
    if not settings.tls:
        whole = converse([stream], table(settings, stream), script(settings))
        assert heard.comparable() == whole.comparable(), "it depends on the cuts"
    if settings.rules:
        return
    if not settings.tls:
        check_in_step(heard, stream)
    for message in heard.messages:
        check_message(message, settings.msg_size_limit)


def _stretched(stream: bytes, stretch: int) -> bytes:
    if not 0 < stretch <= 16:
        return stream
    before, end, after = stream.rpartition(b"\n")
    return before + b"x" * (LINE_LIMIT - 8 + stretch - len(before.rpartition(b"\n")[2])) + end + after


def seeds() -> Iterator[bytes]:
    for number in range(len(CONFIGURATIONS)):
        for stream in shared.STREAMS:
            yield bytes([number, 20, 1, 0]) + stream
    for number, stream in enumerate(shared.recorded_streams()):
        yield bytes([number % len(CONFIGURATIONS), number % 64, 1 + number % 5, 0]) + stream
    for stretch in range(1, 17):
        yield bytes([stretch % 7, 10, 0, stretch]) + b"HELO a.com\r\nNOOP \r\nNOOP\r\n"[: -6 if stretch % 2 else None]
