"""A mail of any bytes, as the HTTP side serves it: whole answers, none a mistake of ours.

An input is the mail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import h11

from smtpmock_cli.control.exchange import JSON, Request
from tests.control.mails import accepted, letter
from tests.fuzz.http_service import service
from tests.fuzz.seeds import STREAMS
from tests.helpers import BODY

LONGEST = 1024
_TARGETS = (
    *("/smtpmock/messages/1", "/smtpmock/messages/1.eml", "/api/v1/messages", "/api/v1/message/1", "/view/1.html"),
    *("/api/v1/message/1/headers", "/api/v1/message/1/raw", "/api/v1/message/1/part/0", "/api/v1/message/1/part/1"),
    *("/api/v1/message/1/part/2", "/api/v1/message/1/part/1.1", "/view/1.txt"),
    "/api/v1/search?query=subject:a%20-from:b%20to:c%20has:attachment%20text%20reply-to:d%20message-id:1",
)
_HEADERS = {"host": "localhost"}


def check(data: bytes) -> None:
    serving = service()
    serving.begin([accepted(data)])
    for target in _TARGETS:
        path, _, query = target.partition("?")
        response = serving.response(Request("GET", path, query, _HEADERS, b""))
        assert response.status in (200, 404), response.body
        if response.content_type == JSON:
            json.loads(response.body)
        headers = [("Content-Type", response.content_type), *response.headers]
        # The library refuses what would be another header, or none.
        h11.Response(status_code=response.status, headers=headers)
        if path.startswith("/view/"):
            response.body.decode()
        if response.content_type.startswith("text/html"):
            assert "sandbox" in dict(headers)["Content-Security-Policy"]


_FIELDS = (
    *(b"Subject: =?utf-8?q?h=C3=AB?= =?x?b?YQ?=", b"Subject: =?\xff?q?x?=", b'From: "a" <b@c.d>, e@f (g), h:i@j;'),
    *(b"To: =?iso-8859-1*en?q?a?= <b@c>", b"Date: Tue, 1 Jul 2003 10:52:37 +0200", b"Date: 99999999999 0 +9999"),
    *(b"Message-ID: <a@b>", b"List-Unsubscribe: <mailto:a@b>, <http://c>", b"Reply-To: <>", b"Return-Path: x"),
    *(b"Content-Type: text/html; charset=utf-16", b"Content-Type: text/plain; charset*=utf-8''%ff", b"Content-Type: /"),
    *(b"Content-Type: multipart/mixed; boundary=x", b'Content-Type: multipart/alternative; boundary*0="x"'),
    *(b"Content-Type: message/rfc822", b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: x-uuencode"),
    *(b'Content-Disposition: attachment; filename="a/\r\n b"', b"Content-Disposition: inline; filename*0*=''%00"),
    *(b"Content-ID: <1>", b"MIME-Version: 1.0"),
)
_PARTS = (b"--x", b"--x--", b'<p>hi<img src="cid:1"><!--', b"YQ==", b"begin 666 a", b"&#x110000; &#0;", b"\xff\xfe")
TOKENS = (*_FIELDS, *_PARTS, b"\r\n", b"\r\n\r\n", b"=?", b"?=", b"?q?", b"; ", b"*0*=", b"=3D", b"utf-7", b"\x00")


def seeds() -> Iterator[bytes]:
    yield b""
    yield from STREAMS
    yield letter("<p>é", Subject="é", From="Zoë <a@b.c>", To="a@b.c, d@e.f").as_bytes()
    for number, field in enumerate(_FIELDS):
        other = _FIELDS[(number * 7 + 3) % len(_FIELDS)]
        yield field + b"\r\n\r\n" + BODY
        for part in _PARTS:
            first = field + b"\r\n" + other + b"\r\n\r\n--x\r\n" + _FIELDS[number // 2] + b"\r\n\r\n"
            yield first + part + b"\r\n--x\r\n\r\n" + part + b"\r\n--x--\r\n"
