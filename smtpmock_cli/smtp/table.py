"""The table's form: what a row says of a command, and what a session is told besides.

Invariant: the checks are made in the order in which :class:`Command` names them, and the first
that fails answers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Self, dataclass_transform

from ..message import Message
from . import transaction
from .body import LF
from .events import Reply


class Next(Enum):
    """What follows a command that succeeded."""

    COMMAND = "the next command"
    BODY = "the message's body"
    TLS = "a TLS handshake"
    CLOSE = "the end of the session"


# Looked up for every command, and slow to find in an Enum.
COMMAND, BODY, TLS, CLOSE = Next


@dataclass_transform(kw_only_default=True, frozen_default=True)
class _Row:
    # Not: NamedTuple or dataclass, because making such a class takes ten times longer, at every start.
    def __init__(self, **fields: Any) -> None:
        # Defaults too, because what only the class has is found more slowly, at every command.
        self.__dict__.update(self._DEFAULTS, **fields)

    def __init_subclass__(cls) -> None:
        own = {name: vars(cls)[name] for name in cls.__annotations__ if name in vars(cls)}
        cls._DEFAULTS = {**cls._DEFAULTS, **own}

    _DEFAULTS: dict[str, Any] = {}  # noqa: RUF012 - each class has its own

    def but(self, **changes: Any) -> Self:
        """The same row with other values."""
        return type(self)(**{**self.__dict__, **changes})


class Command(_Row):
    """One row: what a command forgets, then its checks in order, then what comes of it.

    ``on`` is what a rule for it is on. ``argument`` gives what the line says, or None where that is not
    valid. ``record`` is told the argument of a command that succeeded, or None. ``too_many`` is the reply
    where the message remembers as many of this command as it may. A ``bare`` command with an argument is none.
    Its verb alone does not make a line a command, as the reference has it, but for one that is known
    ``by_verb``. A command of several replies, or of one that comes later, is left to ``plays``, which gets
    the session, this row, the line and the argument.
    """

    on: str
    forgets: Callable[[Message], None]
    in_sequence: Callable[[Message], bool]
    out_of_sequence: Reply
    argument: Callable[[str], str | None]
    bad_argument: Reply
    refusals: tuple[tuple[frozenset[str], Reply], ...]
    accepted: Reply
    record: Callable[[Message, str, str, str | None], None]
    delay: int
    too_many: Reply | None = None
    next: Next = COMMAND
    starts_message: bool = False
    bare: bool = False
    by_verb: bool = False
    plays: Callable[[Any, Command, str, str | None], None] | None = None

    def judge(self, message: Message, argument: str | None) -> tuple[Reply, bool]:
        """The reply to the command with this argument, and whether it succeeded."""
        if not self.in_sequence(message):
            return self.out_of_sequence, False
        if self.too_many is not None and transaction.has_all_recipients(message):
            return self.too_many, False
        if argument is None:
            return self.bad_argument, False
        for refused, answer in self.refusals:
            if argument in refused:
                return answer, False
        return self.accepted, True


Recognised = tuple[Command | None, str | None]
"""A line's row and its argument; no row for what is no command, no argument where it is not valid."""


class BodyRow(_Row):
    """What becomes of a body."""

    limit: int
    too_big: Reply
    accepted: Reply
    delay: int
    line_end: bytes = LF


class CommandTable(_Row):
    """All that a session takes from a Configuration, made once for all sessions."""

    rows: dict[str, Command]
    recognise: Callable[[str], Recognised]
    body: BodyRow
    greeting: Reply
    unrecognised: Reply
    line_too_long: Reply
    too_many_lines: Reply
    fail_fast: bool
    several_messages: bool
    needs_rset: bool = True
    """Whether a message after a complete one needs RSET between them."""
    tls_first: bool = False
    """Whether a TLS handshake comes before the greeting."""
    shutting_down: Reply | None = None
    """What a client that waits for a reply, or could, is told when the server shuts down; None tells it nothing."""
    shown: Callable[[str], str] | None = None
    """What a line that is no command is shown as, where it may hold what is not to be shown."""
