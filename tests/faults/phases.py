"""Phases: where a session can be when a fault comes, and how a client gets there.

Invariant: a phase is reached when the program itself says so, by the state of its one session.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.certificates import Certificate
from tests.helpers import ENVELOPE, HELO, MAIL, RCPT, Client

from .observed import Observed, observed

COMMAND, BODY, DELAY, HANDSHAKE = "command", "message body", "response delay", "TLS handshake"
RESPONSE, NOTHING = "response to AUTH's challenge", "nothing, by a rule"
EHLO = b"EHLO example.com\r\n"
DATA = ENVELOPE + b"DATA\r\n"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of one (RFC 8446 section 4.1.2), in a record of 512 bytes."""

RULES = """
[[rule]]
on = "noop"
match = "late"
delay = {seconds}

[[rule]]
on = "noop"
match = "slow"
drip = {rate}

[[rule]]
on = "noop"
match = "never"
then = "hang"
"""


class Phase(NamedTuple):
    """What a client sends after the greeting, the codes of its replies, and what the session waits for then.

    ``later`` are the codes of those that come only after a while; ``behind`` is sent once the others are read.
    """

    name: str
    sent: bytes
    replies: tuple[str, ...]
    state: str
    later: tuple[str, ...] = ()
    behind: bytes = b""

    @property
    def is_over(self) -> bool:
        """Whether the session has ended, and only its connection is left."""
        return not self.state


PHASES = (
    Phase("connected", b"", (), COMMAND),
    Phase("HELO", HELO, ("250",), COMMAND),
    Phase("half a command", HELO + MAIL[:7], ("250",), COMMAND),
    Phase("MAIL", HELO + MAIL, ("250",) * 2, COMMAND),
    Phase("RCPT", HELO + MAIL + RCPT, ("250",) * 3, COMMAND),
    Phase("DATA", DATA, ("250", "250", "250", "354"), BODY),
    Phase("body", DATA + b"Subject: hi\r\n\r\nHel", ("250", "250", "250", "354"), BODY),
    Phase("delay", HELO + b"NOOP late\r\n", ("250",), DELAY, ("250",)),
    Phase("dripping reply", HELO + b"NOOP slow\r\n", ("250",), DELAY, ("250",)),
    Phase("hanging", HELO + b"NOOP never\r\n", ("250",), NOTHING),
    Phase("chunk", EHLO + MAIL + RCPT + b"BDAT 1000\r\nHello", ("250",) * 3, BODY),
    Phase("STARTTLS", EHLO + b"STARTTLS\r\n", ("250", "220"), HANDSHAKE),
    Phase("handshake", EHLO + b"STARTTLS\r\n", ("250", "220"), HANDSHAKE, behind=CLIENT_HELLO),
    Phase("AUTH", EHLO + b"AUTH LOGIN\r\n", ("250", "334"), RESPONSE),
    Phase("QUIT", HELO + b"QUIT\r\n", ("250", "221"), ""),
)


def name(phase: Phase) -> str:
    """For ``ids``."""
    return phase.name


@contextmanager
def at_hand(folder: Path, certificate: Certificate, *flags: str, seconds: int = 1) -> Iterator[Observed]:
    """A daemon in which every phase can be reached; what takes its time takes so many seconds."""
    rules = folder / "rules.toml"
    rules.write_text(RULES.format(seconds=seconds, rate=len("250 Ok\r\n") / seconds))
    extended = ("-extensions=CHUNKING", f"-tlsCert={certificate.both}", "-authUsers=joe:secret", f"-rules={rules}")
    with observed(*extended, *flags) as running:
        yield running


@contextmanager
def reached(phase: Phase, running: Observed) -> Iterator[Client]:
    """A client whose session is in that phase; others may be in theirs."""
    others = running.states()
    with running.client() as client:
        client.send(phase.sent)
        assert final_codes(client, len(phase.replies)) == phase.replies
        client.send(phase.behind)
        assert running.states() == others + ([] if phase.is_over else [phase.state])
        yield client


def final_codes(client: Client, count: int) -> tuple[str, ...]:
    """The codes of so many replies, each by its last line (RFC 5321 section 4.2.1)."""
    codes: list[str] = []
    while len(codes) < count:
        line = client.read()
        if line[3:4] != "-":
            codes.append(line[:3])
    return tuple(codes)
