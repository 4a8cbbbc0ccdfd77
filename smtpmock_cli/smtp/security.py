"""The rows of TLS, and what the others demand of it (RFC 3207)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..configuration import IMPLICIT, REQUIRED, Configuration
from ..message import Message
from . import grammar, transaction
from .commands import TLS, Command
from .events import Reply
from .status_codes import Say

_WITHOUT_TLS = ("EHLO", "STARTTLS", "NOOP", "QUIT")
"""What is answered before TLS even where that is required (RFC 3207 section 4)."""


def verbs(configuration: Configuration) -> list[str]:
    """The commands that come with it."""
    return ["STARTTLS"] if configuration.tls else []


def keywords(configuration: Configuration) -> tuple[list[str], list[str]]:
    """What EHLO offers for it, in plaintext and in TLS."""
    return ["STARTTLS"] if configuration.tls not in ("", IMPLICIT) else [], []


def secured(configuration: Configuration, rows: Mapping[str, Command], say: Say) -> dict[str, Command]:
    """The rows with those that come with it, and with what it demands of them."""
    rows = {**rows}
    if configuration.tls:
        rows["STARTTLS"] = _starttls(configuration, say)
    if configuration.tls == REQUIRED:
        refusal = Reply(configuration.msg_starttls_required)
        rows |= _demanding(rows, rows.keys() - _WITHOUT_TLS, _in_tls, refusal)
    return rows


def _demanding(
    rows: Mapping[str, Command], verbs: Iterable[str], is_met: Callable[[Message], bool], refusal: Reply
) -> dict[str, Command]:
    """The rows of these verbs, which first make sure that something is met."""
    return {verb: _demanding_row(rows[verb], is_met, refusal) for verb in verbs}


def _demanding_row(row: Command, is_met: Callable[[Message], bool], refusal: Reply) -> Command:
    def judge(message: Message, argument: str | None) -> tuple[Reply, bool]:
        return row.judge(message, argument) if is_met(message) else (refusal, False)

    return row.but(judge=judge)


def _starttls(configuration: Configuration, say: Say) -> Command:
    return Command(
        on="starttls",
        forgets=transaction.forget_nothing,
        in_sequence=_in_plaintext,
        out_of_sequence=say("503 Bad sequence of commands. TLS is active already", "5.5.1"),
        argument=_starttls_argument,
        bad_argument=say("501 STARTTLS takes no argument", "5.5.4"),
        refusals=(),
        accepted=Reply(configuration.msg_starttls_received),
        record=transaction.record_nothing,
        delay=configuration.response_delay_starttls,
        next=TLS,
        by_verb=True,
    )


def _starttls_argument(line: str) -> str | None:
    return line if grammar.is_word("starttls", line) else None


def _in_tls(message: Message) -> bool:
    return message.tls != ""


def _in_plaintext(message: Message) -> bool:
    return message.tls == ""
