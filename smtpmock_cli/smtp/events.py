"""What a session tells the world around it, one event at a time.

Invariant: events are values that nobody changes. A pause is one of them, so nothing has to be called
back. Not: NamedTuple or dataclass, because making such a class takes ten times longer, at every start.
"""

from __future__ import annotations

from ..message import Message


class _Value:
    """Compared and shown by its slots."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({shown})"


class NeedData(_Value):
    """Nothing to tell until more bytes, or the end of them, arrive."""

    __slots__ = ()


class RequestReceived(_Value):
    """A command line arrived, white space at its ends removed."""

    __slots__ = ("line",)

    def __init__(self, line: str) -> None:
        self.line = line


class BodyReceived(_Value):
    """More of a body arrived, cut anywhere, with its dots as sent and the final one too."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def lines(self) -> int:
        """How many lines ended in it; counted only for who asks."""
        return self.data.count(b"\n")


class RuleFired(_Value):
    """A rule decides what is done here; its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ReplyDelayed(_Value):
    """The next event must not be pulled before this many seconds have passed."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class DripDelayed(ReplyDelayed):
    """The same, between two parts of a reply."""

    __slots__ = ()


class DecisionPending(ReplyDelayed):
    """Other sessions have their turn before the next event: which rule decides takes long to find out."""

    __slots__ = ()


class ReplyPart(_Value):
    """Bytes of a reply to send, before the :class:`Reply` that has its last."""

    __slots__ = ("wire",)

    def __init__(self, wire: bytes) -> None:
        self.wire = wire


class Reply(_Value):
    """A reply to send (RFC 5321 section 4.2).

    :param line: its text; of one with several lines, CRLF is between them.
    :param wire: its bytes with the last line's end, where not all of them are still to go out.
    """

    __slots__ = ("line", "wire")

    def __init__(self, line: str, wire: bytes | None = None) -> None:
        self.line = line
        # What stood in a flag as bytes goes out as those bytes.
        self.wire = line.encode("utf-8", "surrogateescape") + b"\r\n" if wire is None else wire


class StartTls(_Value):
    """Begin a TLS handshake once the last reply is out; the session is to be told when it is done."""

    __slots__ = ()


class TransactionEnded(_Value):
    """The message is final and belongs to whoever pulled this."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


class InputEnded(_Value):
    """The peer will send no more, and all that it sent is dealt with."""

    __slots__ = ()


class ConnectionReset(_Value):
    """Reset the connection once the last reply is out."""

    __slots__ = ()


class SessionEnded(_Value):
    """Close the connection once the last reply is out. Pulled again, it comes again."""

    __slots__ = ()


Event = (
    NeedData
    | RequestReceived
    | BodyReceived
    | RuleFired
    | ReplyDelayed
    | ReplyPart
    | Reply
    | StartTls
    | TransactionEnded
    | InputEnded
    | ConnectionReset
    | SessionEnded
)

NEED_DATA = NeedData()
START_TLS = StartTls()
INPUT_ENDED = InputEnded()
DECISION_PENDING = DecisionPending(0)
CONNECTION_RESET = ConnectionReset()
SESSION_ENDED = SessionEnded()
