"""What a browser gets of a mail: headers that a mail cannot write into, and links to its parts."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpmock_cli.control.exchange import Request
from smtpmock_cli.control.mail import Part, read_mail
from smtpmock_cli.control.sandbox import content_type, disposition, image_source, sandbox, with_links
from smtpmock_cli.control.steps import finish
from tests.control.mails import accepted


def part(fields: str) -> Part:
    return finish(read_mail(accepted(fields.encode("utf-8", "surrogateescape") + b"\r\n\r\n"))).parts[0]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG; name=x", "image/png"),
        ("text/html", "text/html"),
        ("text/plain; charset=ISO-8859-1", "text/plain; charset=ISO-8859-1"),
        ('text/plain; charset="a b"', "text/plain"),
        ('text/plain; charset="x;y=z"', "text/plain"),
        ("application/pdf; charset=utf-8", "application/pdf"),
        ("image/sv g", "application/octet-stream"),
        ("imagé/png", "application/octet-stream"),
        ("nonsense", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_content_type(given: str, shown: str) -> None:
    assert content_type(part(f"Content-Type: {given}")) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plain-1_(2).txt", 'attachment; filename="plain-1_(2).txt"'),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ('a"b\r\nc', "attachment; filename=\"a_b__c\"; filename*=UTF-8''a%22b%0D%0Ac"),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        ("..\\a\0", 'attachment; filename=".._a_"'),
        ("", 'attachment; filename="unnamed"'),
        ("x" * 500 + ".txt", f'attachment; filename="{"x" * 146}.txt"'),
    ],
)
def test_disposition(name: str, value: str) -> None:
    assert disposition(name) == ("Content-Disposition", value)


@given(st.text(), st.text())
@example("text/plain; charset=\r\nX-Evil: 1", "\r\nX-Evil: 1")
def test_any_header_is_one_that_http_takes(kind: str, name: str) -> None:
    one = part("Content-Type: " + kind.encode("utf-8", "replace").decode())
    headers = [("Content-Type", content_type(one)), disposition(name.encode("utf-8", "replace").decode()), sandbox()]
    sent = h11.Connection(h11.SERVER)
    sent.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    sent.next_event()
    head = sent.send(h11.Response(status_code=200, headers=[*headers, ("Content-Length", "0")]))
    assert head is not None
    assert head.count(b"\r\n") == 6


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("localhost:8025", "http://localhost:8025/p/"),
        ("127.0.0.1", "http://127.0.0.1/p/"),
        ("localhost; script-src *", ""),
        ("localhost:80,x", ""),
        ("[::1]:80", ""),
        ("", ""),
    ],
)
def test_image_source(host: str, source: str) -> None:
    assert image_source(Request("GET", "/", "", {"host": host}, b""), "/p/") == source


def test_nothing_runs_but_links_may_open_a_page() -> None:
    name, policy = sandbox("http://localhost/p/")
    assert name == "Content-Security-Policy"
    assert policy.split("; ") == [
        "sandbox allow-popups allow-popups-to-escape-sandbox",
        "default-src 'none'",
        "img-src data: http://localhost/p/",
        "style-src 'unsafe-inline'",
    ]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<img src="cid:one@x">', '<img src="/p/2">'),
        ("<img src='CID:one@x'>", "<img src='/p/2'>"),
        ("<img src=cid:one@x >", "<img src=/p/2 >"),
        ('<img src = " cid:two%40x">', '<img src = " /p/3">'),
        ("<p style='background: url(cid:one@x)'>", "<p style='background: url(/p/2)'>"),
        ('<img src="cid:other@x">', '<img src="cid:other@x">'),
        ("acid:one@x", "acid:one@x"),
        ("", ""),
    ],
)
def test_references_to_parts(markup: str, expected: str) -> None:
    picture = b"Content-Type: image/png\r\nContent-ID: <%s@x>\r\n"
    body = b"".join(b"--b\r\n" + fields + b"\r\nx\r\n" for fields in (b"", picture % b"one", picture % b"two"))
    parts = finish(read_mail(accepted(b"Content-Type: multipart/related; boundary=b\r\n\r\n" + body))).parts
    assert finish(with_links(markup, parts, "/p/")) == expected
    for before in ("x" * 70_000, "'" * 65_530, '"' * 65_535, "a=" * 32_767):
        assert finish(with_links(before + markup, parts, "/p/")) == before + expected
