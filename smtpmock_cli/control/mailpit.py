"""Mailpit: the part of Mailpit's API, version 1, by which its clients read and delete mails.

Invariants: only accepted mails are seen, newest first, and only what is seen is deleted; a mail is parsed
once for all lists and searches; what a mail contains is never served as a page of this site.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary, WeakSet

from ..message import Message
from ..store import MessageStore
from ..version import VERSION
from .exchange import TEXT, Answer, Refusal, Request, Response, json_response, text_response
from .mail import Mail
from .routes import Route
from .sandbox import content_type, disposition, image_source, sandbox, with_links
from .search import Term, meets, terms
from .summary import Summary, as_json

USUAL_LIMIT = 50
"""How many mails a list shows that was not asked for a number."""

_FORM = "application/x-www-form-urlencoded"
_WITHIN_LATEST = ("query", "tz")


class Mailpit:
    """The endpoints over one store.

    :param clock: counts seconds, for the uptime.
    """

    def __init__(self, store: MessageStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._started = clock()
        self._deleted = 0
        self._read: WeakSet[Message] = WeakSet()
        self._summaries: WeakKeyDictionary[Message, Summary] = WeakKeyDictionary()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/api/v1/info", self._info),
            Route("GET", "/api/v1/messages", self._list),
            Route("PUT", "/api/v1/messages", self._mark),
            Route("DELETE", "/api/v1/messages", self._delete),
            Route("GET", "/api/v1/search", self._search),
            Route("DELETE", "/api/v1/search", self._delete_found),
            Route("GET", "/api/v1/message/{id}", self._message),
            Route("GET", "/api/v1/message/{id}/headers", self._headers),
            Route("GET", "/api/v1/message/{id}/raw", self._raw),
            Route("GET", "/api/v1/message/{id}/part/{part_id}", self._part),
            Route("GET", "/view/{id}.html", self._html),
            Route("GET", "/view/{id}.txt", self._text),
        ]

    def _info(self, request: Request) -> Answer:
        request.parameters()
        accepted = self._accepted()
        size = sum(len(message.msg_request) for message in accepted)
        return json_response(
            {
                "Version": VERSION,
                "LatestVersion": "disabled",
                "Database": "",
                "DatabaseSize": size,
                "Messages": len(accepted),
                "Unread": self._unread(accepted),
                "Tags": {},
                "RuntimeStats": {
                    "Uptime": int(self._clock() - self._started),
                    "Memory": 0,
                    "MessagesDeleted": self._deleted,
                    "SMTPAccepted": len(accepted),
                    "SMTPAcceptedSize": size,
                    "SMTPRejected": len(self._store.copy()) - len(accepted),
                    "SMTPIgnored": 0,
                },
            }
        )

    def _list(self, request: Request) -> Answer:
        given = request.parameters("start", "limit")
        accepted = self._accepted()
        return self._listing(given, accepted, accepted)

    def _search(self, request: Request) -> Answer:
        given = request.parameters("query", "start", "limit", "tz")
        accepted = self._accepted()
        return self._listing(given, self._found(given, accepted), accepted)

    def _listing(self, given: dict[str, str], found: list[Message], accepted: list[Message]) -> Response:
        start, limit = _number(given, "start", 0), _number(given, "limit", USUAL_LIMIT)
        page = found[start : start + limit] if limit else found[start:]
        return json_response(
            {
                "total": len(accepted),
                "unread": self._unread(accepted),
                "count": len(page),
                "messages_count": len(found),
                "messages_unread": self._unread(found),
                "start": start,
                "tags": [],
                "messages": [{**self._summary(message).shown, "Read": message in self._read} for message in page],
            }
        )

    def _mark(self, request: Request) -> Answer:
        request.parameters("tz")
        fields = _fields(request, "ids", "read", "search")
        query, read = fields.get("search", ""), fields.get("read", False)
        if not isinstance(query, str) or not isinstance(read, bool):
            raise Refusal(400, "Search is a text, and Read is true or false")
        messages = self._chosen(_ids(fields))
        if query:
            messages = self._found({"query": query}, messages)
        for message in messages:
            (self._read.add if read else self._read.discard)(message)
        return text_response("ok")

    def _delete(self, request: Request) -> Answer:
        request.parameters()
        return self._remove(self._chosen(_ids(_fields(request, "ids"))))

    def _delete_found(self, request: Request) -> Answer:
        return self._remove(self._found(request.parameters("query", "tz"), self._accepted()))

    def _remove(self, messages: list[Message]) -> Response:
        self._store.remove({message.id for message in messages})
        self._deleted += len(messages)
        return text_response("ok")

    def _message(self, request: Request, id: str) -> Answer:
        message = self._asked_for(request, id)
        self._read.add(message)
        return json_response(as_json(message, Mail(message)))

    def _headers(self, request: Request, id: str) -> Answer:
        fields = Mail(self._asked_for(request, id)).fields
        return json_response({_canonical(name): fields[name] for name in sorted(fields)})

    def _raw(self, request: Request, id: str) -> Answer:
        message = self._asked_for(request, id, "dl")
        download = request.parameters("dl", *_WITHIN_LATEST).get("dl") == "1"
        headers = (disposition(f"{message.id}.eml"),) if download else ()
        return Response(message.as_mail(), TEXT, headers=headers)

    def _part(self, request: Request, id: str, part_id: str) -> Answer:
        for part in Mail(self._asked_for(request, id)).parts:
            if part.id == part_id:
                headers = (disposition(part.file_name or part.content_id), sandbox())
                return Response(part.content(), content_type(part), headers=headers)
        raise Refusal(404, f"no such part: {part_id}")

    def _html(self, request: Request, id: str) -> Answer:
        message = self._asked_for(request, id, "embed")
        mail = Mail(message)
        markup = mail.html
        if not markup:
            raise Refusal(404, "this message has no HTML")
        self._read.add(message)
        parts = f"/api/v1/message/{message.id}/part/"
        body = with_links(markup, mail.parts, parts).encode("utf-8")
        return Response(body, "text/html; charset=utf-8", headers=(sandbox(image_source(request, parts)),))

    def _text(self, request: Request, id: str) -> Answer:
        message = self._asked_for(request, id)
        self._read.add(message)
        return text_response(Mail(message).text)

    def _accepted(self) -> list[Message]:
        """The mails, newest first."""
        return [message for message in reversed(self._store.copy()) if message.is_consistent]

    def _asked_for(self, request: Request, id: str, *known: str) -> Message:
        """The mail of this id; ``latest`` may have a query."""
        given = request.parameters(*known, *_WITHIN_LATEST)
        messages = self._accepted() if id == "latest" else self._chosen([id])
        if id == "latest" and "query" in given:
            messages = self._found(given, messages)
        if not messages:
            raise Refusal(404, f"no such message: {id}")
        return messages[0]

    def _chosen(self, ids: Sequence[str]) -> list[Message]:
        """The mails of these ids, or all; ids of none do not matter, but are no reason to take all."""
        if not ids:
            return self._accepted()
        numbers = {int(id) for id in ids if _ID(id)}
        found = (self._store.get(number) for number in sorted(numbers, reverse=True))
        return [message for message in found if message is not None and message.is_consistent]

    def _found(self, given: dict[str, str], messages: list[Message]) -> list[Message]:
        if not given.get("query"):
            raise Refusal(400, "query is missing")
        wanted = terms(given["query"])
        return [message for message in messages if self._meets(message, wanted)]

    def _meets(self, message: Message, wanted: list[Term]) -> bool:
        summary = self._summary(message)
        state = {
            "read": message in self._read,
            "unread": message not in self._read,
            "attachment": summary.has_attachment,
            "inline": summary.has_inline,
        }
        return meets(wanted, lambda field: summary.text(message, field), state.__getitem__)

    def _unread(self, messages: list[Message]) -> int:
        return sum(message not in self._read for message in messages)

    def _summary(self, message: Message) -> Summary:
        summary = self._summaries.get(message)
        if summary is None:
            summary = self._summaries[message] = Summary(message)
        return summary


_ID = re.compile("[1-9][0-9]{0,18}").fullmatch


def _number(given: dict[str, str], name: str, usual: int) -> int:
    text = given.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(400, f"{name} takes a whole number from 0 on, not {text}")
    return int(text)


def _fields(request: Request, *known: str) -> dict[str, Any]:
    """The body's fields, their names in lower case; from JSON, or from a form, as one client sends it.

    :raises Refusal: 400, one is not known: who misspells ``IDs`` does not mean all.
    """
    if not request.body:
        return {}
    is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    given = _form_fields(request.body) if is_form else request.json()
    if not isinstance(given, dict):
        raise Refusal(400, "the body is no JSON object")
    fields = {name.lower(): value for name, value in given.items()}
    for name in fields:
        if name not in known:
            raise Refusal(400, f"no such field: {name}; known here: {', '.join(known)}")
    return fields


def _form_fields(body: bytes) -> dict[str, Any]:
    try:
        form = parse_qs(body.decode("ascii"), errors="strict")
    except ValueError:
        raise Refusal(400, "the body is no form of UTF-8") from None
    truths = {"read=true": True, "read=false": False}
    last = {name: truths.get(f"{name}={values[-1]}".lower(), values[-1]) for name, values in form.items()}
    return {name: form[name] if name.lower() == "ids" else value for name, value in last.items()}


def _ids(fields: dict[str, Any]) -> list[str]:
    ids = fields.get("ids")
    if ids is None:
        return []
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise Refusal(400, "IDs is no list of texts")
    return ids


def _canonical(name: str) -> str:
    """A header field's name as Go writes it, which is how Mailpit's clients look for it."""
    return "-".join(word.capitalize() for word in name.split("-"))
