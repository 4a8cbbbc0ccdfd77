"""The rows of TLS and AUTH, and what is demanded of the others (RFC 3207, RFC 4954)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ..configuration import AUTH_MECHANISMS, IMPLICIT, REQUIRED, STARTTLS, Configuration
from ..message import Message
from . import grammar, transaction
from .auth import Auth
from .events import Reply
from .status_codes import Say
from .table import TLS, Command

_WITHOUT_TLS = ("EHLO", "STARTTLS", "NOOP", "QUIT")
"""What is answered before TLS even where that is required (RFC 3207 section 4)."""
_WITHOUT_AUTH = (*_WITHOUT_TLS, "AUTH", "HELO", "RSET")
"""What is answered before AUTH even where that is required (RFC 4954 section 6)."""


class AuthCommand(Command):
    """AUTH: it needs EHLO before it, which has to come again in TLS (RFC 3207 section 4.2)."""

    before_ehlo: Reply
    before_ehlo_in_tls: Reply

    def judge(self, message: Message, argument: str | None) -> tuple[Reply, bool]:
        if not message.helo:
            return (self.before_ehlo_in_tls if message.tls else self.before_ehlo), False
        return super().judge(message, argument)


def verbs(configuration: Configuration) -> list[str]:
    """The commands that come with them."""
    return ["STARTTLS"] * bool(configuration.tls) + ["AUTH"] * configuration.offers_auth


def keywords(configuration: Configuration) -> tuple[list[str], list[str]]:
    """What EHLO offers for them, in plaintext and in TLS."""
    auth = [f"AUTH {' '.join(_mechanisms(configuration))}"] * configuration.offers_auth
    starttls = ["STARTTLS"] * (configuration.tls in (STARTTLS, REQUIRED))
    return starttls + (auth if configuration.tls != REQUIRED else []), auth


def secured(configuration: Configuration, rows: Mapping[str, Command], say: Say) -> dict[str, Command]:
    """The rows with those that come with them, and with what they demand."""
    rows = {**rows}
    if configuration.tls:
        rows["STARTTLS"] = _starttls(configuration, say)
    if configuration.offers_auth:
        rows["AUTH"] = _auth(configuration, say)
    if configuration.auth_required:
        refusal = Reply(configuration.msg_auth_required)
        rows |= _demanding(rows, rows.keys() - _WITHOUT_AUTH, _is_proven, refusal)
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


def _auth(configuration: Configuration, say: Say) -> Command:
    auth = Auth(
        configuration.auth_users,
        _mechanisms(configuration),
        _nonce(configuration.seed),
        accepted=Reply(configuration.msg_auth_received),
        invalid=Reply(configuration.msg_invalid_auth),
        cancelled=say("501 Authentication cancelled", "5.7.0"),
        not_base64=say("501 Response is not valid base 64", "5.5.2"),
        not_offered=say("504 Authentication mechanism is not offered", "5.5.4"),
    )
    before_ehlo = say("503 Bad sequence of commands. AUTH should be used after EHLO", "5.5.1")
    again = say("503 Bad sequence of commands. EHLO should be used again after STARTTLS", "5.5.1")
    return AuthCommand(
        on="auth",
        forgets=transaction.forget_nothing,
        in_sequence=_may_auth,
        out_of_sequence=say("503 Bad sequence of commands. AUTH should be used once, before MAIL FROM", "5.5.1"),
        argument=_auth_argument,
        bad_argument=say("501 AUTH requires a mechanism", "5.5.4"),
        refusals=(),
        accepted=auth.accepted,
        record=transaction.record_nothing,
        delay=configuration.response_delay_auth,
        by_verb=True,
        plays=auth.play,
        before_ehlo=before_ehlo,
        before_ehlo_in_tls=before_ehlo if configuration.tls == IMPLICIT else again,
    )


def _mechanisms(configuration: Configuration) -> Sequence[str]:
    return configuration.auth_mechanisms or AUTH_MECHANISMS


def _nonce(seed: int | None) -> Callable[[], int]:
    from .chance import generator  # only here: few servers have AUTH

    return partial(generator(seed, "AUTH").getrandbits, 64)


def _auth_argument(line: str) -> str | None:
    """The mechanism, and the initial response if there is one."""
    return line.partition(" ")[2].strip() or None


def _may_auth(message: Message) -> bool:
    return transaction.outside_transaction(message) and not message.auth


def _is_proven(message: Message) -> bool:
    return message.auth


def _in_tls(message: Message) -> bool:
    return message.tls != ""


def _in_plaintext(message: Message) -> bool:
    return message.tls == ""
