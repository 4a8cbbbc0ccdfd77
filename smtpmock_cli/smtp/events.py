"""What a session tells the world around it, one event at a time.

Invariant: events are values. A pause is one of them, so nothing has to be called back.
"""

from __future__ import annotations

from typing import NamedTuple

from ..message import Message


class NeedData(NamedTuple):
    """Nothing to tell until more bytes, or the end of them, arrive."""


class RequestReceived(NamedTuple):
    """A command line arrived, white space at its ends removed."""

    line: str


class BodyReceived(NamedTuple):
    """More of a body arrived, cut anywhere, with its dots as sent and the final one too."""

    data: bytes

    @property
    def lines(self) -> int:
        """How many lines ended in it; counted only for who asks."""
        return self.data.count(b"\n")


class ReplyDelayed(NamedTuple):
    """The next event must not be pulled before this many seconds have passed."""

    seconds: int


class Reply(NamedTuple):
    """A reply to send: its text, and its bytes with the line's end (RFC 5321 section 4.2)."""

    line: str
    wire: bytes


class TransactionEnded(NamedTuple):
    """The message is final and belongs to whoever pulled this."""

    message: Message


class InputEnded(NamedTuple):
    """The peer will send no more, and all that it sent is dealt with."""


class SessionEnded(NamedTuple):
    """Close the connection once the last reply is out. Pulled again, it comes again."""


Event = NeedData | RequestReceived | BodyReceived | ReplyDelayed | Reply | TransactionEnded | InputEnded | SessionEnded

NEED_DATA = NeedData()
INPUT_ENDED = InputEnded()
SESSION_ENDED = SessionEnded()


def reply(line: str) -> Reply:
    """The event for a reply's text; what stood in a flag as bytes goes out as those bytes."""
    return Reply(line, line.encode("utf-8", "surrogateescape") + b"\r\n")
