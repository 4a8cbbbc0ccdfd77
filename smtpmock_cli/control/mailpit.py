"""Mailpit: the part of Mailpit's API, version 1, by which its clients read and delete mails.

Invariants: only accepted mails are seen, newest first, and only what is seen is deleted; a mail is parsed
once for all lists and searches; what a mail contains is never served as a page of this site.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

from ..message import Message
from ..store import MessageStore
from ..version import VERSION
from .exchange import TEXT, Answer, Refusal, Request, Response, json_response, text_response
from .mail import Mail
from .routes import Route
from .sandbox import content_type, disposition, image_source, sandbox, with_links
from .search import Term, meets, terms
from .selection import body_fields, start_and_limit, wanted_ids, wanted_terms
from .summaries import Summaries
from .summary import as_json

_WITHIN_LATEST = ("query", "tz")


class Mailpit:
    """The endpoints over one store.

    :param soon: calls back in the loop's next turn.
    :param clock: counts seconds, for the uptime.
    """

    def __init__(
        self,
        store: MessageStore,
        soon: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._started = clock()
        self._deleted = 0
        self._read: WeakSet[Message] = WeakSet()
        self._summaries = Summaries(soon)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/api/v1/info", self._info),
            Route("GET", "/api/v1/messages", self._list),
            Route("PUT", "/api/v1/messages", self._mark),
            Route("DELETE", "/api/v1/messages", self._delete),
            Route("GET", "/api/v1/search", self._search),
            Route("DELETE", "/api/v1/search", self._delete_found),
            self._one("/api/v1/message/{id}", self._message),
            self._one("/api/v1/message/{id}/headers", self._headers),
            self._one("/api/v1/message/{id}/raw", self._raw),
            self._one("/api/v1/message/{id}/part/{part_id}", self._part),
            self._one("/view/{id}.html", self._html),
            self._one("/view/{id}.txt", self._text),
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
        start, limit = start_and_limit(given)

        def answer() -> Response:
            accepted = self._accepted()
            return self._listing(start, limit, accepted, accepted)

        return self._summaries.before(self._accepted()[start:][: limit or None], answer)

    def _search(self, request: Request) -> Answer:
        given = request.parameters("query", "start", "limit", "tz")
        start, limit = start_and_limit(given)
        wanted = wanted_terms(given)

        def answer() -> Response:
            accepted = self._accepted()
            return self._listing(start, limit, self._found(wanted, accepted), accepted)

        return self._summaries.before(self._accepted(), answer)

    def _listing(self, start: int, limit: int, found: list[Message], accepted: list[Message]) -> Response:
        page = found[start:][: limit or None]
        return json_response(
            {
                "total": len(accepted),
                "unread": self._unread(accepted),
                "count": len(page),
                "messages_count": len(found),
                "messages_unread": self._unread(found),
                "start": start,
                "tags": [],
                "messages": [{**self._summaries.of(message).shown, "Read": message in self._read} for message in page],
            }
        )

    def _mark(self, request: Request) -> Answer:
        request.parameters("tz")
        fields = body_fields(request, "ids", "read", "search")
        query, read = fields.get("search", ""), fields.get("read", False)
        if not isinstance(query, str) or not isinstance(read, bool):
            raise Refusal(400, "Search is a text, and Read is true or false")
        chosen = self._chosen(wanted_ids(fields))
        wanted = terms(query)

        def answer() -> Response:
            for message in self._found(wanted, chosen) if query else chosen:
                (self._read.add if read else self._read.discard)(message)
            return text_response("ok")

        return self._summaries.before(chosen if query else (), answer)

    def _delete(self, request: Request) -> Answer:
        request.parameters()
        return self._remove(self._chosen(wanted_ids(body_fields(request, "ids"))))

    def _delete_found(self, request: Request) -> Answer:
        wanted = wanted_terms(request.parameters("query", "tz"))
        return self._summaries.before(self._accepted(), lambda: self._remove(self._found(wanted, self._accepted())))

    def _remove(self, messages: list[Message]) -> Response:
        self._store.remove({message.id for message in messages})
        self._deleted += len(messages)
        return text_response("ok")

    def _one(self, path: str, answer: Callable[..., Response]) -> Route:
        """The route to one mail, or to a part of it."""

        def handle(request: Request, id: str, **more: str) -> Answer:
            searched = self._accepted() if id == "latest" and "query" in request.query else ()
            return self._summaries.before(searched, lambda: answer(request, id, **more))

        return Route("GET", path, handle)

    def _message(self, request: Request, id: str) -> Response:
        message = self._asked_for(request, id)
        self._read.add(message)
        return json_response(as_json(message, Mail(message)))

    def _headers(self, request: Request, id: str) -> Response:
        fields = Mail(self._asked_for(request, id)).fields
        return json_response({_canonical(name): fields[name] for name in sorted(fields)})

    def _raw(self, request: Request, id: str) -> Response:
        message = self._asked_for(request, id, "dl")
        download = request.parameters("dl", *_WITHIN_LATEST).get("dl") == "1"
        headers = (disposition(f"{message.id}.eml"),) if download else ()
        return Response(message.as_mail(), TEXT, headers=headers)

    def _part(self, request: Request, id: str, part_id: str) -> Response:
        for part in Mail(self._asked_for(request, id)).parts:
            if part.id == part_id:
                headers = (disposition(part.file_name or part.content_id), sandbox())
                return Response(part.content(), content_type(part), headers=headers)
        raise Refusal(404, f"no such part: {part_id}")

    def _html(self, request: Request, id: str) -> Response:
        message = self._asked_for(request, id, "embed")
        mail = Mail(message)
        markup = mail.html
        if not markup:
            raise Refusal(404, "this message has no HTML")
        self._read.add(message)
        parts = f"/api/v1/message/{message.id}/part/"
        body = with_links(markup, mail.parts, parts).encode("utf-8")
        return Response(body, "text/html; charset=utf-8", headers=(sandbox(image_source(request, parts)),))

    def _text(self, request: Request, id: str) -> Response:
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
            messages = self._found(wanted_terms(given), messages)
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

    def _found(self, wanted: list[Term], messages: list[Message]) -> list[Message]:
        return [message for message in messages if self._meets(message, wanted)]

    def _meets(self, message: Message, wanted: list[Term]) -> bool:
        summary = self._summaries.of(message)
        state = {
            "read": message in self._read,
            "unread": message not in self._read,
            "attachment": summary.has_attachment,
            "inline": summary.has_inline,
        }
        return meets(wanted, lambda field: summary.text(message, field), state.__getitem__)

    def _unread(self, messages: list[Message]) -> int:
        return sum(message not in self._read for message in messages)


_ID = re.compile("[1-9][0-9]{0,18}").fullmatch


def _canonical(name: str) -> str:
    """A header field's name as Go writes it, which is how Mailpit's clients look for it."""
    return "-".join(word.capitalize() for word in name.split("-"))
