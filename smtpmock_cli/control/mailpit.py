"""Mailpit: the part of Mailpit's API, version 1, by which its clients read and delete mails.

Invariants: only accepted mails are seen, newest first, and only what is seen is deleted; a mail is parsed
once for all lists and searches; what a mail contains is never served as a page of this site; whatever goes
through all mails, or through all of a mail, does so in steps, and clients that read the same share its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic
from weakref import WeakSet, WeakValueDictionary

from ..message import Message
from ..net.loop import Loop
from ..store import MessageStore
from ..version import VERSION
from .exchange import (
    JSON,
    TEXT,
    Answer,
    Refusal,
    Request,
    Response,
    Steps,
    T,
    json_response,
    mail_response,
    text_response,
)
from .json_pieces import Written, in_bytes, json_pieces, long_json_response
from .listing import free
from .mail import Part, read_mail
from .routes import Route
from .sandbox import content_type, disposition, image_source, sandbox, with_links
from .search import Term, meets, terms
from .selection import body_fields, start_and_limit, wanted_ids, wanted_terms
from .steps import without_text
from .summaries import Summaries
from .summary import read_fields

_WITHIN_LATEST = ("query", "tz")
_MESSAGES_A_STEP = 1000


class Shared(Generic[T]):
    """Something long that was made of a mail, for as long as one of the answers that hold it is being sent."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: T) -> None:
        self.value = value


class Mailpit:
    """The endpoints over one store."""

    def __init__(self, loop: Loop, store: MessageStore) -> None:
        self._loop = loop
        self._store = store
        self._started = loop.clock()
        self._deleted = 0
        self._read: WeakSet[Message] = WeakSet()
        self._summaries = Summaries()
        self._shared: WeakValueDictionary[tuple[object, ...], Shared[Any]] = WeakValueDictionary()
        self._being_made: set[tuple[object, ...]] = set()

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
            Route("GET", "/api/v1/message/{id}/part/{part_id}", self._part, embeddable=True),
            Route("GET", "/view/{id}.html", self._html, embeddable=True),
            Route("GET", "/view/{id}.txt", self._text),
        ]

    def _info(self, request: Request) -> Steps[Response]:
        request.parameters()
        accepted = yield from self._accepted()
        size = yield from _total(len(message.msg_request) for message in accepted)
        unread = yield from self._unread(accepted)
        return json_response(
            {
                "Version": VERSION,
                "LatestVersion": "disabled",
                "Database": "",
                "DatabaseSize": size,
                "Messages": len(accepted),
                "Unread": unread,
                "Tags": {},
                "RuntimeStats": {
                    "Uptime": int(self._loop.clock() - self._started),
                    "Memory": 0,
                    "MessagesDeleted": self._deleted,
                    "SMTPAccepted": len(accepted),
                    "SMTPAcceptedSize": size,
                    "SMTPRejected": self._store.snapshot().count - len(accepted),
                    "SMTPIgnored": 0,
                },
            }
        )

    def _list(self, request: Request) -> Answer:
        start, limit = start_and_limit(request.parameters("start", "limit"))
        return Response(in_bytes(self._listing(None, start, limit)), JSON)

    def _search(self, request: Request) -> Answer:
        given = request.parameters("query", "start", "limit", "tz")
        start, limit = start_and_limit(given)
        return Response(in_bytes(self._listing(wanted_terms(given), start, limit)), JSON)

    def _listing(self, wanted: list[Term] | None, start: int, limit: int) -> Iterator[str]:
        """A page of the mails that are wanted, or of all."""
        accepted = yield from without_text(self._accepted())
        found = yield from without_text(self._found(wanted, accepted))
        page = found[start:][: limit or None]
        unread = yield from without_text(self._unread(accepted))
        unread_found = yield from without_text(self._unread(found))
        yield from json_pieces(
            {
                "total": len(accepted),
                "unread": unread,
                "count": len(page),
                "messages_count": len(found),
                "messages_unread": unread_found,
                "start": start,
                "tags": [],
                "messages": (Written(self._shown(message)) for message in page),
            }
        )

    def _shown(self, message: Message) -> Iterator[str]:
        summary = yield from without_text(self._summaries.of(message))
        yield ""
        yield from json_pieces({**summary.shown, "Read": message in self._read})

    def _mark(self, request: Request) -> Steps[Response]:
        request.parameters("tz")
        fields = yield from body_fields(request, "ids", "read", "search")
        query, read = fields.get("search", ""), fields.get("read", False)
        if not isinstance(query, str) or not isinstance(read, bool):
            raise Refusal(400, "Search is a text, and Read is true or false")
        chosen = yield from self._chosen(wanted_ids(fields))
        found = yield from self._found(terms(query) if query else None, chosen)
        for number, message in enumerate(found, 1):
            (self._read.add if read else self._read.discard)(message)
            if number % _MESSAGES_A_STEP == 0:
                yield
        return text_response("ok")

    def _delete(self, request: Request) -> Steps[Response]:
        request.parameters()
        fields = yield from body_fields(request, "ids")
        return (yield from self._remove(None, wanted_ids(fields)))

    def _delete_found(self, request: Request) -> Answer:
        return self._remove(wanted_terms(request.parameters("query", "tz")), ())

    def _remove(self, wanted: list[Term] | None, ids: Sequence[str]) -> Steps[Response]:
        found = yield from self._found(wanted, (yield from self._chosen(ids)))
        removed = self._store.remove({message.id for message in found})
        self._deleted += len(removed)
        free(removed, self._loop.call_idle)
        return text_response("ok")

    def _message(self, request: Request, id: str) -> Steps[Response]:
        message = yield from self._asked_for(request, id)
        self._read.add(message)
        fields = yield from self._share((message.id,), lambda: read_fields(message))
        return _sharing(long_json_response(fields.value), fields)

    def _headers(self, request: Request, id: str) -> Steps[Response]:
        mail = yield from read_mail((yield from self._asked_for(request, id)))
        return long_json_response({_canonical(name): mail.fields[name] for name in sorted(mail.fields)})

    def _raw(self, request: Request, id: str) -> Steps[Response]:
        message = yield from self._asked_for(request, id, "dl")
        download = request.parameters("dl", *_WITHIN_LATEST).get("dl") == "1"
        return mail_response(message, TEXT, (disposition(f"{message.id}.eml"),) if download else ())

    def _part(self, request: Request, id: str, part_id: str) -> Steps[Response]:
        message = yield from self._asked_for(request, id)
        found = yield from self._share((message.id, "part", part_id), lambda: _read_part(message, part_id))
        part, content = found.value
        headers = (disposition(part.file_name or part.content_id), sandbox())
        return _sharing(Response(content, content_type(part), headers=headers), found)

    def _html(self, request: Request, id: str) -> Steps[Response]:
        message = yield from self._asked_for(request, id, "embed")
        parts = f"/api/v1/message/{message.id}/part/"
        html = yield from self._share((message.id, "html"), lambda: _read_html(message, parts))
        self._read.add(message)
        headers = (sandbox(image_source(request, parts)),)
        return _sharing(Response(html.value, "text/html; charset=utf-8", headers=headers), html)

    def _text(self, request: Request, id: str) -> Steps[Response]:
        message = yield from self._asked_for(request, id)
        self._read.add(message)
        text = yield from self._share((message.id, "text"), lambda: _read_text(message))
        return _sharing(Response(text.value, TEXT), text)

    def _share(self, key: tuple[object, ...], make: Callable[[], Steps[T]]) -> Steps[Shared[T]]:
        """What is made by these steps: once for all who want it at the time."""
        while key in self._being_made:
            yield
        shared: Shared[T] | None = self._shared.get(key)
        if shared is None:
            self._being_made.add(key)
            try:
                shared = self._shared[key] = Shared((yield from make()))
            finally:
                self._being_made.discard(key)
        return shared

    def _accepted(self) -> Steps[list[Message]]:
        """The mails, newest first."""
        found = []
        for number, message in enumerate(reversed(self._store.snapshot()), 1):
            if message.is_consistent:
                found.append(message)
            if number % _MESSAGES_A_STEP == 0:
                yield
        return found

    def _asked_for(self, request: Request, id: str, *known: str) -> Steps[Message]:
        """The mail of this id; ``latest`` may have a query."""
        given = request.parameters(*known, *_WITHIN_LATEST)
        if id == "latest":
            wanted = wanted_terms(given) if "query" in given else None
            messages = yield from self._found(wanted, (yield from self._accepted()))
        else:
            messages = yield from self._chosen([id])
        if not messages:
            raise Refusal(404, f"no such message: {id}")
        return messages[0]

    def _chosen(self, ids: Sequence[str]) -> Steps[list[Message]]:
        """The mails of these ids, or all; ids of none do not matter, but are no reason to take all."""
        if not ids:
            return (yield from self._accepted())
        numbers: set[int] = set()
        for at in range(0, len(ids), _MESSAGES_A_STEP):
            numbers.update(int(id) for id in ids[at : at + _MESSAGES_A_STEP] if _ID(id))
            yield
        found = []
        for number in sorted(numbers, reverse=True):
            message = self._store.get(number)
            if message is not None and message.is_consistent:
                found.append(message)
        return found

    def _found(self, wanted: list[Term] | None, messages: list[Message]) -> Steps[list[Message]]:
        """Those that meet all that is wanted; nothing wanted is met by all."""
        if wanted is None:
            return messages
        found = []
        for message in messages:
            if (yield from self._meets(message, wanted)):
                found.append(message)
            yield
        return found

    def _meets(self, message: Message, wanted: list[Term]) -> Steps[bool]:
        summary = yield from self._summaries.of(message)
        state = {
            "read": message in self._read,
            "unread": message not in self._read,
            "attachment": summary.has_attachment,
            "inline": summary.has_inline,
        }
        texts: dict[str, str] = {}
        # What is at hand first: a long text may have to be read for the others.
        for term in sorted(wanted, key=lambda term: term.field is not None and not summary.keeps(term.field)):
            if term.field is not None and term.field not in texts:
                texts[term.field] = yield from summary.text(message, term.field)
            if not meets([term], texts.__getitem__, state.__getitem__):
                return False
        return bool(wanted)

    def _unread(self, messages: Iterable[Message]) -> Steps[int]:
        return _total(message not in self._read for message in messages)


def _total(numbers: Iterable[int]) -> Steps[int]:
    total = 0
    for place, number in enumerate(numbers, 1):
        total += number
        if place % _MESSAGES_A_STEP == 0:
            yield
    return total


def _sharing(response: Response, shared: Shared[T]) -> Response:
    """The response, which keeps what it shares with others for as long as it is being sent."""
    response.holds = shared
    return response


def _read_part(message: Message, part_id: str) -> Steps[tuple[Part, bytes]]:
    mail = yield from read_mail(message)
    for part in mail.parts:
        if part.id == part_id:
            return part, (yield from part.content())
    raise Refusal(404, f"no such part: {part_id}")


def _read_html(message: Message, parts: str) -> Steps[bytes]:
    mail = yield from read_mail(message)
    markup = yield from mail.html()
    if not markup:
        raise Refusal(404, "this message has no HTML")
    return (yield from with_links(markup, mail.parts, parts)).encode("utf-8")


def _read_text(message: Message) -> Steps[bytes]:
    mail = yield from read_mail(message)
    return (yield from mail.text()).encode("utf-8", "replace")


_ID = re.compile("[1-9][0-9]{0,18}").fullmatch


def _canonical(name: str) -> str:
    """A header field's name as Go writes it, which is how Mailpit's clients look for it."""
    return "-".join(word.capitalize() for word in name.split("-"))
