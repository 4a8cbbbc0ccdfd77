"""AUTH: from the command by challenges and responses to the verdict (RFC 4954).

Invariants: what a client says to prove who it is stands in no event and in no record; a mechanism is its
challenges, which are known at its start, and what it makes of the responses to them.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from .concealment import HIDDEN, concealed
from .events import Reply, RequestReceived
from .table import Command

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from .rules import FiredRule
    from .session import Session

_CANCEL = "*"
Users = Mapping[bytes, bytes]
"""Passwords by names."""
Verdict = tuple[bytes, bool]
"""The name that was given, and whether it is proven."""


class Mechanism:
    """A mechanism of SASL (RFC 4422).

    :param challenges: gives the challenges, made with something that never comes twice.
    :param judge: gives the verdict on the responses to these challenges.
    :param client_first: whether AUTH's own line may bring the first response.
    """

    __slots__ = ("challenges", "client_first", "judge")

    def __init__(
        self,
        challenges: Callable[[Callable[[], int]], tuple[bytes, ...]],
        judge: Callable[[Users, Sequence[bytes], Sequence[bytes]], Verdict],
        *,
        client_first: bool,
    ) -> None:
        self.challenges = challenges
        self.judge = judge
        self.client_first = client_first


def _plain(users: Users, _challenges: Sequence[bytes], responses: Sequence[bytes]) -> Verdict:
    """RFC 4616: to act for somebody else is nobody's right."""
    acted_for, _, credentials = responses[0].partition(b"\0")
    name, nul, password = credentials.partition(b"\0")
    if not nul:  # then the name may be a password out of its place
        return b"", False
    return name, acted_for in (b"", name) and users.get(name) == password


def _login(users: Users, _challenges: Sequence[bytes], responses: Sequence[bytes]) -> Verdict:
    return responses[0], users.get(responses[0]) == responses[1]


def _cram_md5(users: Users, challenges: Sequence[bytes], responses: Sequence[bytes]) -> Verdict:
    """RFC 2195 section 2."""
    from hmac import digest  # only here: it brings OpenSSL

    name, _, given = responses[0].rpartition(b" ")
    if name not in users:
        return name, False
    return name, digest(users[name], challenges[0], "md5").hex().encode() == given.lower()


MECHANISMS = {
    "PLAIN": Mechanism(lambda _: (b"",), _plain, client_first=True),
    "LOGIN": Mechanism(lambda _: (b"Username:", b"Password:"), _login, client_first=True),
    "CRAM-MD5": Mechanism(lambda nonce: (b"<%d@smtpmock>" % nonce(),), _cram_md5, client_first=False),
}


class Outcome(Enum):
    """What a reply to AUTH, or to a response, means."""

    PROVEN = "the client is who it says"
    CHALLENGED = "a response has to come"
    REFUSED = "it is over, and nobody is proven"


class Auth:
    """What all exchanges of a server share: who may come in and how, and what they are answered.

    :param users: passwords by names, each ``name:password``.
    :param nonce: gives numbers of which none comes twice.
    """

    def __init__(
        self,
        users: Sequence[str],
        mechanisms: Sequence[str],
        nonce: Callable[[], int],
        *,
        accepted: Reply,
        invalid: Reply,
        cancelled: Reply,
        not_base64: Reply,
        not_offered: Reply,
    ) -> None:
        pairs = (user.encode("utf-8", "surrogateescape").partition(b":") for user in users)
        self.users = {name: password for name, _, password in pairs}
        self.mechanisms = {name: MECHANISMS[name] for name in mechanisms}
        self.nonce = nonce
        self.accepted = accepted
        self.invalid = invalid
        self.cancelled = cancelled
        self.not_base64 = not_base64
        self.not_offered = not_offered

    def play(self, session: Session, row: Command, line: str, argument: str | None) -> None:
        """Answer an AUTH: refuse it, or begin its exchange."""
        session.tell(RequestReceived(concealed(line)))
        decided = None if session.script is None else session.rule_for(row, line, argument)
        if decided is None:
            self._begin(session, None, row, argument)
        else:
            decided.decide(session, self._begin, row, argument)

    def _begin(self, session: Session, fired: FiredRule | None, row: Command, argument: str | None) -> None:
        refusal, is_in_order = row.judge(session.message, argument)
        name, _, initial = (argument or "").partition(" ")
        if not is_in_order:
            answer(session, refusal, Outcome.REFUSED, fired, row.delay)
        elif name.upper() not in self.mechanisms:
            answer(session, self.not_offered, Outcome.REFUSED, fired, row.delay)
        else:
            session.message.auth_mechanism = name.upper()
            session.message.auth_username = ""
            Exchange(self, self.mechanisms[name.upper()], row.delay).begin(session, initial.strip(), fired)


class Exchange:
    """One AUTH under way; the session passes the responses on to it."""

    __slots__ = ("_auth", "_challenges", "_delay", "_mechanism", "_responses")

    def __init__(self, auth: Auth, mechanism: Mechanism, delay: float) -> None:
        self._auth = auth
        self._mechanism = mechanism
        self._challenges = mechanism.challenges(auth.nonce)
        self._responses: list[bytes] = []
        self._delay = delay

    def begin(self, session: Session, initial: str, fired: FiredRule | None) -> None:
        """Challenge the client, or take what it said without being challenged (RFC 4954 section 4)."""
        if not initial:
            self._go_on(session, fired)
        elif self._mechanism.client_first:
            self._take(session, "" if initial == "=" else initial, fired)
        else:
            answer(session, self._auth.not_base64, Outcome.REFUSED, fired, self._delay)

    def respond(self, session: Session, line: str) -> None:
        """Take what the client says to a challenge."""
        session.tell(RequestReceived(line if line == _CANCEL else HIDDEN))
        if line == _CANCEL:
            answer(session, self._auth.cancelled, Outcome.REFUSED, None, self._delay)
        else:
            self._take(session, line, None)

    def _take(self, session: Session, line: str, fired: FiredRule | None) -> None:
        try:
            self._responses.append(a2b_base64(line, strict_mode=True))
        except ValueError:  # no base 64, or not even ASCII
            answer(session, self._auth.not_base64, Outcome.REFUSED, fired, self._delay)
        else:
            self._go_on(session, fired)

    def _go_on(self, session: Session, fired: FiredRule | None) -> None:
        if len(self._responses) < len(self._challenges):
            challenge = b2a_base64(self._challenges[len(self._responses)], newline=False).decode("ascii")
            answer(session, Reply(f"334 {challenge}"), Outcome.CHALLENGED, fired, 0, self)
            return
        name, is_proven = self._mechanism.judge(self._auth.users, self._challenges, self._responses)
        session.message.auth_username = name.decode("utf-8", "surrogateescape")
        verdict = (self._auth.accepted, Outcome.PROVEN) if is_proven else (self._auth.invalid, Outcome.REFUSED)
        answer(session, *verdict, fired, self._delay)


def answer(
    session: Session,
    reply: Reply,
    outcome: Outcome,
    fired: FiredRule | None,
    delay: float,
    exchange: Exchange | None = None,
) -> None:
    """Reply, unless a rule replies otherwise, of which the code says what it means; go on with the exchange."""
    ruled: Reply | None = reply
    succeeded = outcome is not Outcome.REFUSED
    if fired is not None:
        ruled, succeeded = fired.answer(reply, succeeded)
        if ruled is not reply:
            outcome = _BY_CODE.get("" if ruled is None else ruled.line[0], Outcome.REFUSED)
    if outcome is Outcome.PROVEN:
        session.message.auth = True
    if fired is not None:
        fired.follow(session, ruled, succeeded, delay)
    else:
        session.reply(reply, delay, ends=session.table.fail_fast and not succeeded)
    if outcome is Outcome.CHALLENGED and exchange is not None:
        session.await_response(exchange.respond)


_BY_CODE = {"2": Outcome.PROVEN, "3": Outcome.CHALLENGED}
