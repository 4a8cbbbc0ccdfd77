"""The HTTP side on any bytes, cut anywhere.

An input is: messages and end, first cut, size of the other pieces, and the bytes of a connection.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.control.mails import accepted
from tests.fuzz.http_service import check_exchange
from tests.fuzz.pieces import cut

LONGEST = 1024
_MULTIPART = (
    b"Subject: =?utf-8?q?h=C3=AB?=\r\nFrom: a@example.com\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n"
    b"<p>hi<img src=cid:1>\r\n--x\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <1>\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n"
)
_MESSAGES = [
    accepted(body, id=number)
    for number, body in enumerate((b"Subject: hi\r\n\r\nHello.\r\n", _MULTIPART, b"\xff\0"), 1)
]


def check(data: bytes) -> None:
    if len(data) >= 3:
        check_exchange(cut(data[3:], data[1], data[2]), _MESSAGES[: data[0] % 4], ends=data[0] < 128)


_PATHS = (
    *(
        "GET /livez",
        "GET /readyz",
        "HEAD /livez",
        "GET /smtpmock/messages?count=1&timeout=0",
        "DELETE /smtpmock/messages",
    ),
    *("GET /smtpmock/messages?count=9&purge=true", "GET /smtpmock/messages/1", "GET /smtpmock/messages/2.eml"),
    *("GET /smtpmock/sessions", "GET /smtpmock/configuration", "DELETE /smtpmock/configuration", "GET /smtpmock/rules"),
    *("GET /smtpmock/tls-authority.pem", "DELETE /smtpmock/rules", "OPTIONS *"),
    *("GET /api/v1/info", "GET /api/v1/messages?start=1&limit=1", "GET /api/v1/search?query=subject:h%C3%AB%20-x"),
    *("GET /api/v1/message/latest", "GET /api/v1/message/2/part/1.2", "GET /api/v1/message/1/headers"),
    *(
        "GET /api/v1/message/latest/raw?query=hi",
        "GET /view/2.html",
        "GET /view/latest.txt",
        "GET http://localhost/livez",
    ),
    *(
        "DELETE /api/v1/search?query=is:unread",
        "GET /api/v1/search?query=-tag:a",
        "GET /api/v1/search?query=%22",
        "GET /%2e%2e/%ff",
        "BREW /livez",
        "GET //[",
        "GET http://[::1/livez",
    ),
)
_BODIES = (
    ("PATCH /smtpmock/configuration", b'{"msg_size_limit": 5, "msg_greeting": null, "auth_users": ["a:b"]}'),
    ("PUT /smtpmock/rules", b'{"rules": [{"on": "mail", "reply": ["450 a", "450 b"], "match": "[a-*"}]}'),
    ("POST /smtpmock/rules", b'{"on": ["any"], "then": "hang", "probability": 1.0}'),
    ("PUT /api/v1/messages", b'{"IDs": ["1"], "Read": true, "Search": "subject:hi"}'),
    ("DELETE /api/v1/messages", b'{"IDs": ["2"]}'),
    ("DELETE /api/v1/messages", b'{"a": 1e999, "b": "\\ud800"}'),
)
TOKENS = (
    *(b"GET ", b"HEAD ", b"DELETE ", b"PUT ", b"POST ", b"PATCH ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n\r\n"),
    *(b"Host: localhost\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"%2F"),
    *(b"Expect: 100-continue\r\n", b"Origin: http://localhost\r\n", b"Sec-Fetch-Site: cross-site\r\n", b"0\r\n\r\n"),
    *(b"/smtpmock/messages", b"/smtpmock/rules", b"/smtpmock/configuration", b"/api/v1/", b"latest", b"?query=", b"&"),
    *(b'"msg_size_limit": ', b'"reply": ', b'"on": ', b"null", b"[]", b"{}", b"1e999", b"\\ud800", b"%ff", b"cid:"),
)


def _request(target: str, more: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{target} HTTP/1.1\r\nHost: localhost\r\n{more}{length}\r\n".encode() + body


def seeds() -> Iterator[bytes]:
    for number, target in enumerate(_PATHS):
        yield bytes([3, number, 7]) + _request(target) + _request("GET /livez")
        yield bytes([130, number, 1]) + _request(target, "Expect: 100-continue\r\n")
        yield bytes([1, number, 99]) + _request(target, "Connection: close\r\nSec-Fetch-Site: cross-site\r\n")
    for target, body in _BODIES:
        chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        yield bytes([3, 40, 3]) + _request(target, body=body) + _request(target.replace("PUT", "GET"))
        yield bytes([3, 40, 3]) + _request(target, "Transfer-Encoding: chunked\r\n") + chunked
    for wrong in (b"", b"\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"x" * 900, b"\x16\x03\x01"):
        yield b"\x01\x05\x01" + wrong
