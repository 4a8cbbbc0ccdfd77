"""Our endpoints: what the Python interface gives, for every language.

Invariant: a purge takes out what its answer carries, and nothing else; and nothing at all where the answer is not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..configuration import changeable
from ..errors import ConfigurationError
from ..message import Message
from ..net.loop import Loop
from ..sessions import Sessions
from ..store import MessageStore
from .exchange import Answer, DeferredResponse, Refusal, Request, Response, json_response, mail_response, text_response
from .json_pieces import Written, long_json_response, message_pieces
from .listing import PendingListings
from .routes import Route

MOST_AWAITED = 1_000_000
"""The most messages that one request can wait for."""
LONGEST_WAIT = 3600.0
"""The longest time that one request can wait, in seconds."""
USUAL_WAIT = 4.0
"""How long, in seconds, a request waits that does not say; some clients give up after five."""
MAIL = "message/rfc822"
PEM = "application/x-pem-file"


class Api:
    """The endpoints over one server.

    :param is_ready: whether the server accepts sessions.
    """

    def __init__(self, loop: Loop, store: MessageStore, sessions: Sessions, is_ready: Callable[[], bool]) -> None:
        self._store = store
        self._listings = PendingListings(store, loop.call_idle)
        self._under_way = sessions
        self._is_ready = is_ready

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/livez", self._live),
            Route("GET", "/readyz", self._ready),
            Route("GET", "/smtpmock/messages", self._messages, changes=_purges),
            Route("DELETE", "/smtpmock/messages", self._purge),
            Route("GET", "/smtpmock/messages/{id}.eml", self._mail),
            Route("GET", "/smtpmock/messages/{id}", self._message),
            Route("GET", "/smtpmock/sessions", self._sessions),
            Route("GET", "/smtpmock/tls-authority.pem", self._tls_authority),
            Route("GET", "/smtpmock/configuration", self._configuration),
            Route("PATCH", "/smtpmock/configuration", self._change_configuration),
            Route("DELETE", "/smtpmock/configuration", self._reset_configuration),
            Route("GET", "/smtpmock/rules", self._rules),
            Route("PUT", "/smtpmock/rules", self._replace_rules),
            Route("POST", "/smtpmock/rules", self._add_rule),
            Route("DELETE", "/smtpmock/rules", self._delete_rules),
        ]

    def close(self) -> None:
        """Answer everyone who still waits with what has arrived."""
        self._listings.close()

    def _live(self, request: Request) -> Answer:
        request.parameters()
        return text_response("ok")

    def _ready(self, request: Request) -> Answer:
        request.parameters()
        if not self._is_ready():
            raise Refusal(503, "the server is stopping")
        return text_response("ok")

    def _messages(self, request: Request) -> Answer:
        given = request.parameters("count", "timeout", "purge")
        count = int(_number(given, "count", MOST_AWAITED, whole=True) or 0)
        timeout = _number(given, "timeout", LONGEST_WAIT)
        purge = _truth(given, "purge")
        if purge and request.method == "HEAD":
            raise Refusal(400, "HEAD takes nothing out")
        seconds = USUAL_WAIT if timeout is None else timeout
        return self._listing(count, seconds, purge=purge)

    def _purge(self, request: Request) -> Answer:
        request.parameters()
        return self._listing(0, 0, purge=True)

    def _listing(self, count: int, seconds: float, *, purge: bool) -> DeferredResponse:
        return DeferredResponse(
            lambda respond, scheduler: self._listings.begin(respond, scheduler, count, seconds, purge=purge)
        )

    def _message(self, request: Request, id: str) -> Answer:
        request.parameters()
        return long_json_response(Written(message_pieces(self._find(id))))

    def _mail(self, request: Request, id: str) -> Answer:
        request.parameters()
        return mail_response(self._find(id), MAIL)

    def _find(self, id: str) -> Message:
        # No more digits than any number of messages has: int() takes its time with very many.
        is_number = id.isascii() and id.isdigit() and len(id) < 20
        message = self._store.get(int(id)) if is_number else None
        if message is None:
            raise Refusal(404, f"no such message: {id}")
        return message

    def _sessions(self, request: Request) -> Answer:
        request.parameters()
        active = self._under_way.under_way
        # Those that have ended by the time that it is their turn are in it too, or count would be wrong.
        return long_json_response({"count": len(active), "sessions": (session.status() for session in active)})

    def _tls_authority(self, request: Request) -> Answer:
        request.parameters()
        authority = self._under_way.tls_authority
        if authority is None:
            raise Refusal(404, "no certificate was made: that takes -tlsSelfSigned")
        return Response(authority, PEM)

    def _configuration(self, request: Request) -> Answer:
        request.parameters()
        now = self._under_way.configuration
        return json_response({known.field: getattr(now, known.field) for known in changeable() if not known.secret})

    def _change_configuration(self, request: Request) -> Answer:
        request.parameters()
        changes = request.json()
        if not isinstance(changes, dict):
            raise Refusal(400, "the body is not a JSON object of settings")
        if "rules" in changes:
            raise Refusal(400, "rules are changed at /smtpmock/rules")
        self._change(changes)
        return self._configuration(request)

    def _reset_configuration(self, request: Request) -> Answer:
        request.parameters()
        self._under_way.reset_configuration()
        return self._configuration(request)

    def _change(self, changes: dict[str, Any]) -> None:
        try:
            made = self._under_way.changed(changes)
        except ConfigurationError as error:
            raise Refusal(400, str(error)) from error
        self._under_way.reconfigure(made)

    def _rules(self, request: Request) -> Answer:
        request.parameters()
        rules = self._under_way.configuration.rules
        return json_response({"rules": [rule.as_dict() for rule in rules], "fired": self._under_way.rules_fired})

    def _replace_rules(self, request: Request) -> Answer:
        request.parameters()
        body = request.json()
        if not isinstance(body, dict) or body.keys() != {"rules"} or not isinstance(body["rules"], list):
            raise Refusal(400, 'the body is not a JSON object like {"rules": [...]}')
        self._change({"rules": body["rules"]})
        return self._rules(request)

    def _add_rule(self, request: Request) -> Answer:
        request.parameters()
        self._change({"rules": [*self._under_way.configuration.rules, request.json()]})
        return self._rules(request)

    def _delete_rules(self, request: Request) -> Answer:
        request.parameters()
        self._change({"rules": []})
        return self._rules(request)


def _purges(request: Request) -> bool:
    return any(_truth({"purge": value}, "purge") for value in request.query_values().get("purge", ()))


def _number(given: dict[str, str], name: str, most: float, *, whole: bool = False) -> float | None:
    """A parameter from 0 to ``most``; None where it is not given."""
    if name not in given:
        return None
    try:
        number = int(given[name]) if whole else float(given[name])
    except ValueError:
        number = -1
    if not 0 <= number <= most:  # nor nan
        raise Refusal(400, f"{name} takes a {'whole ' if whole else ''}number from 0 to {most:.0f}, not {given[name]}")
    return number


def _truth(given: dict[str, str], name: str) -> bool:
    text = given.get(name, "false")
    if text not in ("true", "false", "1", "0"):
        raise Refusal(400, f"{name} takes true or false, not {text}")
    return text in ("true", "1")
