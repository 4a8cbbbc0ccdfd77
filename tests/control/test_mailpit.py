"""Mailpit's endpoints: what they answer, what they delete, and what they leave alone."""

from __future__ import annotations

import gc
import hashlib
import json
import smtplib
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpmock_cli import Message, Server
from smtpmock_cli.control import summaries as module
from smtpmock_cli.control.exchange import Refusal, Request, Response, Steps
from smtpmock_cli.control.mailpit import Mailpit
from smtpmock_cli.control.routes import Router
from smtpmock_cli.control.summary import KEPT_TEXT, SNIPPET_LENGTH, Summary, read_summary
from smtpmock_cli.net.loop import Loop
from smtpmock_cli.store import MessageStore
from smtpmock_cli.version import VERSION
from tests.control.mails import accepted, letter
from tests.control.web import Whole, answer_of, ask
from tests.helpers import ENVELOPE, PATIENCE, play

MESSAGES, SEARCH, MESSAGE = "/api/v1/messages", "/api/v1/search", "/api/v1/message"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PICTURE = bytes(range(256))
SANDBOX = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "


class Box:
    """A store with Mailpit's endpoints before it."""

    def __init__(self, *messages: Message) -> None:
        self.store = MessageStore()
        self.now = 0.0
        self.idle: list[Callable[[], None]] = []
        loop = SimpleNamespace(clock=lambda: self.now, call_idle=self.idle.append)
        self._router = Router(Mailpit(cast(Loop, loop), self.store).routes())
        for message in messages:
            self.store.append(message)

    def ask(self, path: str, method: str = "GET", body: Any = b"", content_type: str = JSON, **query: object) -> Whole:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"host": "localhost:8025", "content-type": content_type}
        response = answer_of(self._router, Request(method, path, urlencode(query), headers, sent))
        while self.idle:
            self.idle.pop()()
        return response

    def steps(self, path: str, method: str, body: bytes, content_type: str) -> Steps[Response]:
        request = Request(method, path, "", {"content-type": content_type}, body)
        route, arguments = self._router.find(request)
        return cast("Steps[Response]", route.endpoint(request, **arguments))

    def json(self, path: str, **query: object) -> Any:
        answer = self.ask(path, "GET", b"", "", **query)
        assert (answer.status, answer.content_type) == (200, "application/json")
        return json.loads(answer.body)

    def listed(self, path: str = MESSAGES, **query: object) -> list[str]:
        return [message["ID"] for message in self.json(path, **query)["messages"]]

    def ok(self, path: str, method: str, body: Any = b"", content_type: str = JSON, **query: object) -> None:
        answer = self.ask(path, method, body, content_type, **query)
        assert (answer.status, answer.body, answer.content_type) == (200, b"ok", "text/plain; charset=utf-8")

    def refused(self, path: str, method: str = "GET", body: Any = b"", **more: Any) -> int:
        with pytest.raises(Refusal) as refusal:
            self.ask(path, method, body, **more)
        assert str(refusal.value)
        return refusal.value.status

    @property
    def kept(self) -> list[int]:
        return [message.id for message in self.store.copy()]


def numbered(count: int) -> list[Message]:
    return [accepted(letter(Subject=f"mail {id}"), id=id, to=[f"to-{id}@example.com"]) for id in range(1, count + 1)]


def refused_message(id: int) -> Message:
    message = play(ENVELOPE).messages[0]
    message.id = id
    return message


def rich() -> Message:
    mail = letter(
        "Grüße\n",
        From="Ann <ann@example.com>",
        To="Bob <bob@example.com>",
        Cc="cc@example.com",
        Reply_To="Reply <reply@example.com>",
        Subject="Grüße – 日本語",
        Date="Wed, 07 Sep 2016 16:46:00 +1300",
        Message_ID="<1.2@example.com>",
        List_Unsubscribe="<mailto:off@example.com>, <https://example.com/off>",
        List_Unsubscribe_Post="List-Unsubscribe=One-Click",
    )
    mail.add_alternative('<p>Grüße<img src="cid:pic@x"></p>\n', subtype="html")
    mail.get_payload(1).add_related(PICTURE, "image", "png", cid="<pic@x>")  # type: ignore[union-attr]
    mail.add_attachment(PICTURE, maintype="application", subtype="pdf", filename="Grüße.pdf")
    return accepted(mail, id=7, to=["bob@example.com", "blind@example.com"])


BOB, BLIND = {"Name": "Bob", "Address": "bob@example.com"}, {"Name": "", "Address": "blind@example.com"}
ENVELOPE_FIELDS = {
    "ID": "7",
    "MessageID": "1.2@example.com",
    "Read": False,
    "From": {"Name": "Ann", "Address": "ann@example.com"},
    "To": [BOB],
    "Cc": [{"Name": "", "Address": "cc@example.com"}],
    "Bcc": [BLIND],
    "ReplyTo": [{"Name": "Reply", "Address": "reply@example.com"}],
    "Subject": "Grüße – 日本語",
    "Username": "",
    "Tags": [],
    "Size": len(rich().as_mail()),
}


def checksums(content: bytes) -> dict[str, str]:
    return {name.upper(): hashlib.new(name, content).hexdigest() for name in ("md5", "sha1", "sha256")}


def test_a_list_has_all_of_mailpits_fields() -> None:
    assert Box(rich()).json(MESSAGES) == {
        "total": 1,
        "unread": 1,
        "count": 1,
        "messages_count": 1,
        "messages_unread": 1,
        "start": 0,
        "tags": [],
        "messages": [
            {**ENVELOPE_FIELDS, "Created": "2023-11-14T22:13:20.125+00:00", "Attachments": 1, "Snippet": "Grüße"}
        ],
    }


def test_a_message_has_all_of_mailpits_fields() -> None:
    picture = {"PartID": "1.2.2", "FileName": "pic@x", "ContentType": "image/png", "ContentID": "pic@x"}
    document = {"PartID": "2", "FileName": "Grüße.pdf", "ContentType": "application/pdf", "ContentID": ""}
    more = {"Size": len(PICTURE), "Checksums": checksums(PICTURE)}
    assert Box(rich()).json(f"{MESSAGE}/7") == {
        **ENVELOPE_FIELDS,
        "Read": True,
        "ReturnPath": "sender@example.com",
        "ListUnsubscribe": {
            "Header": "<mailto:off@example.com>, <https://example.com/off>",
            "Links": ["mailto:off@example.com", "https://example.com/off"],
            "Errors": "",
            "HeaderPost": "List-Unsubscribe=One-Click",
        },
        "Date": "2016-09-07T16:46:00.000+13:00",
        "Text": "Grüße\r\n",
        "HTML": '<p>Grüße<img src="cid:pic@x"></p>\r\n',
        "Inline": [picture | more],
        "Attachments": [document | more],
    }


def test_a_message_of_nothing_has_them_too() -> None:
    message = Box(accepted(b"", sender="")).json(f"{MESSAGE}/1")
    assert message.keys() == Box(rich()).json(f"{MESSAGE}/7").keys()
    assert message["From"] == {"Name": "", "Address": ""}
    assert message["ListUnsubscribe"] == {"Header": "", "Links": [], "Errors": "", "HeaderPost": ""}
    assert [message[name] for name in ("To", "Cc", "Bcc", "ReplyTo", "Tags", "Inline", "Attachments")] == [[]] * 7
    assert [message[name] for name in ("MessageID", "ReturnPath", "Subject", "Text", "HTML", "Username")] == [""] * 6
    assert message["Date"] == "2023-11-14T22:13:20.125+00:00"


def test_newest_first_and_accepted_only() -> None:
    box = Box(*numbered(2), refused_message(3), *[accepted(b"", id=4)])
    assert box.listed() == ["4", "2", "1"]
    assert box.refused(f"{MESSAGE}/3") == 404
    assert box.json(f"{MESSAGE}/latest")["ID"] == "4"
    assert Box(refused_message(1)).listed() == []


def test_pages() -> None:
    box = Box(*numbered(60))
    assert len(box.listed()) == 50
    assert box.listed(limit=2) == ["60", "59"]
    assert box.listed(start=1, limit=2) == ["59", "58"]
    assert box.listed(start=58) == ["2", "1"]
    assert box.listed(start=60) == []
    assert len(box.listed(limit=0)) == 60
    page = box.json(MESSAGES, start=55, limit=3)
    assert [page[name] for name in ("total", "count", "messages_count", "start")] == [60, 3, 60, 55]


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "-1"), ("limit", "x"), ("start", "1.0"), ("start", "9" * 99), ("from", "x")]
)
def test_odd_pages(name: str, value: str) -> None:
    assert Box().refused(MESSAGES, **{name: value}) == 400


def test_snippets() -> None:
    def snippet(content: bytes) -> str:
        text: str = Box(accepted(content)).json(MESSAGES)["messages"][0]["Snippet"]
        return text

    assert snippet(b"\r\n a \r\n\r\n b ") == "a b"
    assert snippet(b"Content-Type: text/html\r\n\r\n<h1>a</h1><p>b &amp; c") == "a b & c"
    assert snippet(b"\r\n" + b"x" * SNIPPET_LENGTH) == "x" * SNIPPET_LENGTH
    assert snippet(b"\r\n" + b"x" * (SNIPPET_LENGTH + 1)) == "x" * SNIPPET_LENGTH + "..."


def test_a_mail_is_parsed_once_for_all_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def counted(message: Message) -> Steps[Summary]:
        parsed.append(message.id)
        return read_summary(message)

    monkeypatch.setattr(module, "read_summary", counted)
    box = Box(*numbered(5))
    for _ in range(3):
        box.listed(limit=2)
    assert parsed == [5, 4]
    for _ in range(3):
        box.listed(SEARCH, query="mail")
    assert parsed == [5, 4, 3, 2, 1]


def test_nothing_is_kept_of_a_mail_that_is_gone() -> None:
    box = Box(accepted(b""))
    box.json(f"{MESSAGE}/1")
    assert box.listed(SEARCH, query="is:read example") == ["1"]
    gone = weakref.ref(box.store.purge()[0])
    gc.collect()
    assert gone() is None


def test_reading_marks_as_read() -> None:
    box = Box(*numbered(3))
    for path in ("/headers", "/raw"):
        box.ask(f"{MESSAGE}/1{path}")
    assert box.json(MESSAGES)["unread"] == 3
    box.ask(f"{MESSAGE}/2")
    box.ask("/view/1.txt")
    answer = box.json(MESSAGES)
    assert (answer["unread"], answer["messages_unread"]) == (1, 1)
    assert [message["Read"] for message in answer["messages"]] == [False, True, True]
    assert box.listed(SEARCH, query="is:unread") == ["3"]
    found = box.json(SEARCH, query="is:read")
    assert [found[name] for name in ("total", "unread", "messages_count", "messages_unread")] == [3, 1, 2, 0]
    box.ok(MESSAGES, "DELETE", {"IDs": ["3"]})
    assert box.json(MESSAGES)["unread"] == 0


def test_read_status_can_be_set() -> None:
    box = Box(*numbered(3))

    def unread() -> list[str]:
        return box.listed(SEARCH, query="is:unread")

    box.ok(MESSAGES, "PUT", {"IDs": ["1", "none"], "Read": True})
    assert unread() == ["3", "2"]
    box.ok(MESSAGES, "PUT", {"Read": True, "Search": "subject:2"})
    assert unread() == ["3"]
    box.ok(MESSAGES, "PUT", {"Read": True})
    assert unread() == []
    box.ok(MESSAGES, "PUT", b"ids=2&ids=3&Read=False", FORM)
    assert unread() == ["3", "2"]
    box.ok(MESSAGES, "PUT")
    assert unread() == ["3", "2", "1"]
    box.ok(MESSAGES, "PUT", {"Read": True, "Search": "..."})
    assert unread() == ["3", "2", "1"]
    for body in ({"Read": "yes"}, {"Search": 1}, {"Search": "tag:a"}, {"Read": True, "Tags": []}):
        assert box.refused(MESSAGES, "PUT", body) == 400


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"IDs": ["1", "3"]}', JSON),
        (b'{"ids": ["3", "1", "1"]}', "application/json; charset=utf-8"),
        (b'{"Ids": ["1", "3", "99", "", "x", "-1", "03", "latest"]}', ""),
        (b"ids=1&ids=3", FORM),
        (b"IDs=1&IDs=3&IDs=9", FORM + "; charset=utf-8"),
    ],
)
def test_deleting_some(body: bytes, content_type: str) -> None:
    box = Box(*numbered(3))
    box.ok(MESSAGES, "DELETE", body, content_type)
    assert box.kept == [2]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"IDs": []}', b'{"ids": null}'])
def test_deleting_all_leaves_what_was_never_seen(body: bytes) -> None:
    box = Box(*numbered(2), refused_message(3))
    box.ok(MESSAGES, "DELETE", body)
    assert box.kept == [3]


@pytest.mark.parametrize("body", [b'{"IDs": ["9"]}', b'{"IDs": ["x"]}', b'{"IDs": [""]}', b'{"IDs": ["3"]}'])
def test_deleting_none(body: bytes) -> None:
    box = Box(*numbered(2), refused_message(3))
    box.ok(MESSAGES, "DELETE", body)
    assert box.kept == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"nonsense", JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b'{"IDs": "1"}', JSON),
        (b'{"IDs": ""}', JSON),
        (b'{"IDs": 0}', JSON),
        (b'{"IDs": [1]}', JSON),
        (b'{"ID": ["1"]}', JSON),
        (b"id=1", FORM),
        (b"\xff", FORM),
        (b"ids=%ff", FORM),
        (b"ids=" + b"%41" * 6000, FORM),
        (b"&".join(b"a%d=1" % number for number in range(3000)), FORM),
        (b"ids=1&ids=3", JSON),
    ],
)
def test_an_odd_body_deletes_nothing(body: bytes, content_type: str) -> None:
    box = Box(*numbered(2))
    assert box.refused(MESSAGES, "DELETE", body, content_type=content_type) == 400
    assert box.kept == [1, 2]


def test_a_form_of_very_many_ids_is_read_in_steps() -> None:
    box = Box(accepted(b"", id=1), accepted(b"", id=2))
    steps = box.steps(MESSAGES, "DELETE", b"ids=3&" * 100_000 + b"ids=2", FORM)
    assert sum(1 for _ in steps) > 200
    assert box.kept == [1]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.sampled_from(["application/json", FORM, ""]))
def test_any_body_is_answered(body: bytes, content_type: str) -> None:
    for method in ("PUT", "DELETE"):
        with suppress(Refusal):
            assert Box(*numbered(1)).ask(MESSAGES, method, body, content_type).body == b"ok"


SEARCHED = [
    accepted(letter("first body", From="Ann <ann@a.example>", To="x@example.com", Subject="Welcome home"), id=1),
    accepted(letter("second body", From="bob@b.example", Cc="Carl <c@example.com>", Subject="Your code"), id=2),
    rich(),
]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("from:ann", ["7", "1"]),
        ("from:A.EXAMPLE", ["1"]),
        ("from:bob@", ["2"]),
        ('from:"Ann <ann@a.example>"', ["1"]),
        ("to:bob", ["7"]),
        ("to:x@example.com", ["1"]),
        ("cc:carl", ["2"]),
        ("bcc:blind@example.com", ["7"]),
        ("reply-to:reply", ["7"]),
        ("addressed:c@example.com", ["7", "2"]),
        ('subject:"welcome home"', ["1"]),
        ("subject:日本", ["7"]),
        ("subject:first", []),
        ("message-id:1.2@", ["7"]),
        ("body", ["2", "1"]),
        ("second body", ["2"]),
        ('"body second"', []),
        ("grüße.pdf", ["7"]),
        ("has:attachment", ["7"]),
        ("-has:attachment has:inline", []),
        ("-body", ["7"]),
        ("!subject:code !has:inlines", ["1"]),
        ("sender@example.com", ["7", "2", "1"]),
    ],
)
def test_search(query: str, ids: list[str]) -> None:
    box = Box(*SEARCHED)
    assert box.listed(SEARCH, query=query) == ids
    if ids:
        assert box.json(f"{MESSAGE}/latest", query=query)["ID"] == ids[0]
    else:
        assert box.refused(f"{MESSAGE}/latest", query=query) == 404
    box.ok(SEARCH, "DELETE", query=query)
    assert box.kept == [id for id in (1, 2, 7) if str(id) not in ids]


def test_search_in_pages() -> None:
    box = Box(*numbered(20))
    page = box.json(SEARCH, query="subject:1", start=1, limit=2, tz="Pacific/Auckland")
    assert [message["ID"] for message in page["messages"]] == ["18", "17"]
    assert [page[name] for name in ("total", "count", "messages_count", "start")] == [20, 2, 11, 1]


def test_search_in_a_long_text() -> None:
    box = Box(accepted(b"\r\n" + b"word " * KEPT_TEXT + b"needle"))
    assert box.listed(SEARCH, query="needle") == ["1"]
    assert box.listed(SEARCH, query="-needle") == []


@pytest.mark.parametrize("query", [{}, {"query": ""}, {"query": "tag:a"}, {"query": "a", "x": "y"}])
def test_a_wrong_search_deletes_nothing(query: dict[str, str]) -> None:
    box = Box(*numbered(1))
    for method in ("GET", "DELETE"):
        assert box.refused(SEARCH, method, **query) == 400
    assert box.kept == [1]


def test_a_search_for_nothing_finds_and_deletes_nothing() -> None:
    box = Box(*numbered(1))
    assert box.listed(SEARCH, query="...") == []
    box.ok(SEARCH, "DELETE", query="...")
    assert box.kept == [1]


def test_headers() -> None:
    content = (
        b"x-two: a\r\nSUBJECT: =?utf-8?q?=C3=A9?=\r\n\tfolded\r\nX-Two: b\r\n"
        b"MIME-version: 1.0\r\nmessage-ID: <a@b>\r\n\r\n"
    )
    headers = Box(accepted(content)).json(f"{MESSAGE}/latest/headers")
    received = headers.pop("Received")
    assert received[0].startswith("from example.com ([127.0.0.1]) by [127.0.0.1]")
    assert list(headers.items()) == [
        ("Message-Id", ["<a@b>"]),
        ("Mime-Version", ["1.0"]),
        ("Return-Path", ["<sender@example.com>"]),
        ("Subject", ["=?utf-8?q?=C3=A9?= folded"]),
        ("X-Two", ["a", "b"]),
    ]


def test_raw() -> None:
    message = accepted(b"Subject: \xff\r\n\r\n\x00")
    answer = Box(message).ask(f"{MESSAGE}/1/raw")
    assert (answer.body, answer.content_type) == (message.as_mail(), "text/plain; charset=utf-8")
    assert answer.headers == ()
    headers = dict(Box(message).ask(f"{MESSAGE}/latest/raw", dl=1).headers)
    assert headers == {"Content-Disposition": 'attachment; filename="1.eml"'}


def test_parts() -> None:
    box = Box(rich())
    answer = box.ask(f"{MESSAGE}/7/part/2")
    assert (answer.body, answer.content_type) == (PICTURE, "application/pdf")
    headers = dict(answer.headers)
    assert headers["Content-Disposition"] == "attachment; filename=\"Gr__e.pdf\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf"
    assert headers["Content-Security-Policy"].startswith(SANDBOX)
    assert box.ask(f"{MESSAGE}/latest/part/1.2.2").body == PICTURE
    assert box.ask(f"{MESSAGE}/7/part/1.1").content_type == "text/plain; charset=utf-8"
    for part_id in ("1", "0", "3", "2.0", "x", "..%2F..%2Fetc%2Fpasswd", "1.2.2%00"):
        assert box.refused(f"{MESSAGE}/7/part/{part_id}") == 404


def test_views() -> None:
    box = Box(rich(), *[accepted(b"\r\nplain", id=8)])
    answer = box.ask("/view/7.html", embed=1)
    assert answer.body.decode() == '<p>Grüße<img src="/api/v1/message/7/part/1.2.2"></p>\r\n'
    assert answer.content_type == "text/html; charset=utf-8"
    (_, policy), *others = answer.headers
    assert policy.startswith(SANDBOX)
    assert "img-src data: http://localhost:8025/api/v1/message/7/part/;" in policy
    assert others == []
    text = box.ask("/view/latest.txt")
    assert (text.body, text.content_type) == (b"plain", "text/plain; charset=utf-8")
    assert box.refused("/view/latest.html") == 404


@pytest.mark.parametrize("id", ["2", "0", "-1", "01", "x", "²", "latest2", "1" * 5000, "Latest", " 1", "1%00"])
def test_a_message_that_is_not_there(id: str) -> None:
    box = Box(accepted(b""))
    for path in (MESSAGE + "/{}", MESSAGE + "/{}/headers", MESSAGE + "/{}/raw", MESSAGE + "/{}/part/0", "/view/{}.txt"):
        assert box.refused(path.format(quote(id, safe="%"))) == 404
    assert Box().refused(MESSAGE + "/latest") == 404


def test_over_http_a_mail_cannot_change_what_it_is_served_as(server: Server) -> None:
    odd = 'Content-Type: text/html; charset="\\r\\n"; name="a\\"b\tc"\r\nContent-ID: <\xe9\r\n x>\r\n\r\n<p>'
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.sendmail("a@example.com", ["b@example.com"], odd.encode("latin-1"))
    for path, kind in ((f"{MESSAGE}/latest/part/0", "text/html"), ("/view/latest.html", "text/html; charset=utf-8")):
        answer = ask(server, path)
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"<p>\r\n", kind)
        assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert answer.headers["Content-Security-Policy"].startswith(SANDBOX)
    assert ask(server, f"{MESSAGE}/1", "HEAD").status == 200
    assert ask(server, f"{MESSAGE}/2").json == {"error": "no such message: 2"}
    assert ask(server, f"{MESSAGE}/1", "POST").status == 405


def test_info() -> None:
    box = Box(*numbered(3), refused_message(4))
    box.ask(f"{MESSAGE}/1")
    box.ok(MESSAGES, "DELETE", {"IDs": ["2"]})
    box.now = 12.9
    size = sum(len(message.msg_request) for message in box.store.copy() if message.is_consistent)
    assert box.json("/api/v1/info") == {
        "Version": VERSION,
        "LatestVersion": "disabled",
        "Database": "",
        "DatabaseSize": size,
        "Messages": 2,
        "Unread": 1,
        "Tags": {},
        "RuntimeStats": {
            "Uptime": 12,
            "Memory": 0,
            "MessagesDeleted": 1,
            "SMTPAccepted": 2,
            "SMTPAcceptedSize": size,
            "SMTPRejected": 1,
            "SMTPIgnored": 0,
        },
    }
