"""Mails as they are parsed: what a reader sees, and that no mail is too odd to be read."""

from __future__ import annotations

import email.message
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smtpmock_cli.control.addresses import Address
from smtpmock_cli.control.entity import DEEPEST_PART, LONGEST_FIELD, MOST_PARTS
from smtpmock_cli.control.mail import Mail, read_mail, unsubscribe_links
from smtpmock_cli.control.steps import finish
from smtpmock_cli.control.summary import read_fields, read_summary
from tests.control.mails import ARRIVAL, accepted, letter

BYTES = bytes(range(256)) * 4
HOSTILE = 256 * 1024
BOUND = 10.0
"""Seconds that so many hostile bytes may take; they take minutes where it goes by the square of their length."""


def read(content: bytes | email.message.EmailMessage) -> Mail:
    return finish(read_mail(accepted(content)))


def multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    between = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=x\r\n\r\n" + between + b"--x--\r\n"


def test_fields() -> None:
    mail = read(
        b'From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\nTo: a@example.com, "B, C" <bc@example.com>\r\n'
        b"To: second@example.com\r\nSubject: =?utf-8?b?w6k=?=\r\n folded\r\n"
        b"X-Raw: caf\xc3\xa9 \xff\r\nx-raw:  two \r\n\r\n"
    )
    assert mail.sender == Address("Jürgen", "j@example.com")
    assert mail.mailboxes["to"] == [
        Address("", "a@example.com"),
        Address("B, C", "bc@example.com"),
        Address("", "second@example.com"),
    ]
    assert mail.field("subject") == "é folded"
    assert mail.fields["subject"] == ["=?utf-8?b?w6k=?= folded"]
    assert mail.fields["x-raw"] == ["café \ufffd", "two"]
    assert mail.field("x-none") == ""
    assert mail.mailboxes["cc"] == []


@pytest.mark.parametrize(
    ("field", "sender"),
    [
        (b"", Address("", "")),
        (b"From:\r\n", Address("", "")),
        (b"From: nobody in particular\r\n", Address("nobody in particular", "")),
        (b"From: undisclosed:;\r\n", Address("undisclosed:;", "")),
        (b"From: a@example.com (A)\r\n", Address("A", "a@example.com")),
        (b"From: a@example.com, b@example.com\r\n", Address("", "a@example.com")),
    ],
)
def test_sender(field: bytes, sender: Address) -> None:
    assert read(field + b"\r\n").sender == sender


def test_recipients_in_no_field_are_blind_copies() -> None:
    content = letter(To="To <to@example.com>", Cc="CC@Example.com", Bcc="Known <bcc@example.com>")
    to = ["to@example.com", "cc@example.com", "bcc@example.com", "blind@example.com", "blind@example.com"]
    blind = finish(read_mail(accepted(content, to=to))).blind_copies
    assert blind == [Address("", "blind@example.com"), Address("Known", "bcc@example.com")]
    assert finish(read_mail(accepted(b"\r\n", to=["\udcff@example.com"]))).blind_copies == [
        Address("", "\ufffd@example.com")
    ]


def test_return_path() -> None:
    assert (
        finish(read_mail(accepted(letter(From="a@example.com"), sender="b@example.com"))).return_path == "b@example.com"
    )
    assert finish(read_mail(accepted(letter(From="a@example.com"), sender=""))).return_path == "a@example.com"


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("Wed, 07 Sep 2016 16:46:00 +1300", "2016-09-07T16:46:00+13:00"),
        ("Wed, 07 Sep 2016 16:46:00 -0000", "2016-09-07T16:46:00+00:00"),
        ("7 Sep 2016 16:46 GMT", "2016-09-07T16:46:00+00:00"),
        *((date, None) for date in ("", "soon", "99 Sep 2016 16:46:00 +1300", "7 Sep 2016 16:46:00 +9999")),
        ("7 Sep 99999 16:46:00", None),
        (f"7 Sep {'9' * 5000} 16:46:00", None),
    ],
)
def test_date(date: str, iso: str | None) -> None:
    expected = iso or datetime.fromtimestamp(ARRIVAL, UTC).isoformat()
    assert read(f"Date: {date}\r\n\r\n".encode()).date.isoformat() == expected


def test_texts_and_attachments() -> None:
    content = letter("Grüße\n")
    content.add_alternative('<p>Grüße <img src="cid:picture@x"></p>\n', subtype="html")
    content.get_payload(1).add_related(BYTES, "image", "png", cid="<picture@x>")  # type: ignore[union-attr]
    content.add_attachment(BYTES, maintype="application", subtype="pdf", filename="Grüße ‹1›.pdf")
    content.add_attachment("a;b\n", subtype="csv", filename="table.csv")
    mail = read(content)
    assert finish(mail.text()) == "Grüße\r\n"
    assert finish(mail.html()) == '<p>Grüße <img src="cid:picture@x"></p>\r\n'
    assert [(part.id, part.content_type, part.content_id) for part in mail.inlines] == [
        ("1.2.2", "image/png", "picture@x"),
    ]
    assert [(part.id, part.content_type, part.file_name) for part in mail.attachments] == [
        ("2", "application/pdf", "Grüße ‹1›.pdf"),
        ("3", "text/csv", "table.csv"),
    ]
    assert [part.id for part in mail.parts] == ["1.1", "1.2.1", "1.2.2", "2", "3"]
    assert [finish(part.content()) for part in mail.parts if part.id in ("1.2.2", "2")] == [BYTES, BYTES]


TEXT, HTML = b"\r\nplain", b"Content-Type: text/html\r\n\r\n<p>rich</p>"
FILE = b"Content-Type: text/plain; name=n\r\nContent-Disposition: attachment\r\n\r\nfile"


@pytest.mark.parametrize(
    ("content", "text", "html", "attachments"),
    [
        (b"\r\nalone", "alone", "", []),
        (b"no header\r\nat all", "no header\r\nat all", "", []),
        (HTML, "rich", "<p>rich</p>", []),
        (FILE, "", "", ["0"]),
        (b"Content-Type: image/png\r\n\r\nx", "", "", ["0"]),
        (b"Content-Type: application/octet-stream\r\n\r\nx", "", "", ["0"]),
        (multipart(TEXT, HTML, FILE), "plain", "<p>rich</p>", ["3"]),
        (multipart(TEXT, TEXT), "plain\n--\nplain", "", []),
        (multipart(TEXT, TEXT, kind=b"alternative"), "plain", "", []),
        (multipart(HTML, HTML, FILE), "rich", "<p>rich</p>", ["3"]),
        (multipart(b"Content-Type: application/octet-stream\r\nContent-Disposition: inline\r\n\r\nx"), "", "", ["1"]),
        (multipart(), "", "", []),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "no boundary", "", []),
        (b"Content-Type: multipart/mixed; boundary=y\r\n\r\nnowhere", "nowhere", "", []),
        (b"Content-Type: text/plain; charset=latin1\r\n\r\n\xe9", "é", "", []),
        (b"Content-Transfer-Encoding: base64\r\n\r\nw6k=", "é", "", []),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9=\r\n!", "é!", "", []),
        (b"Content-Transfer-Encoding: nothing known\r\n\r\n\xc3\xa9", "é", "", []),
        (b"", "", "", []),
    ],
)
def test_structure(content: bytes, text: str, html: str, attachments: list[str]) -> None:
    mail = read(content)
    assert (finish(mail.text()), finish(mail.html()), [part.id for part in mail.attachments]) == (
        text,
        html,
        attachments,
    )
    assert mail.inlines == []


def test_a_mail_in_a_mail_stays_as_it_is() -> None:
    inner = (
        b"Subject: inner\nTo:a\r\n  odd\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\na\r\n--y--\r\n"
    )
    parts = read(multipart(TEXT, b"Content-Type: message/rfc822; name=m.eml\r\n\r\n" + inner)).parts
    assert [(part.id, part.content_type, part.is_inline) for part in parts] == [
        ("1", "text/plain", False),
        ("2", "message/rfc822", True),
    ]
    assert finish(parts[1].content()) == inner
    status = read(multipart(b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nC: d\r\n")).parts
    assert finish(status[0].content()) == b"A: b\r\n\r\nC: d\r\n"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("filename=plain.txt", "plain.txt"),
        ('filename="with space.txt"', "with space.txt"),
        ("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename*0=na; filename*1=me.txt", "name.txt"),
        ("filename*0*=UTF-8''na%C3; filename*1*=%AFve.txt", "naïve.txt"),
        ('filename="=?utf-8?q?na=C3=AFve=2Etxt?="', "naïve.txt"),
        ("filename=naïve.txt", "naïve.txt"),
        ("filename*=unicode_escape''%5Cd", "\\d"),
        ("filename*=a%00b''x", "x"),
        (f"filename*{'9' * 5000}=x", ""),
        ("filename*x=y", ""),
        ("", ""),
    ],
)
def test_file_names(field: str, name: str) -> None:
    content = b"Content-Disposition: attachment; " + field.encode() + b"\r\n\r\nx"
    assert read(content).parts[0].file_name == name


def test_a_file_name_of_the_other_field() -> None:
    assert read(b"Content-Type: image/png; name=a.png\r\n\r\nx").parts[0].file_name == "a.png"


def deep(levels: int) -> bytes:
    level = b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n"
    return b"".join(level % (number, number) for number in range(levels)) + TEXT


def test_intricate_mails_are_one_text() -> None:
    for content in (deep(DEEPEST_PART + 1), multipart(*[TEXT] * (MOST_PARTS + 1))):
        mail = read(content)
        assert [part.id for part in mail.parts] == ["0"]
        assert "plain" in finish(mail.text())
    assert read(deep(DEEPEST_PART)).parts[0].id == ".".join("1" * DEEPEST_PART)
    assert len(read(multipart(*[TEXT] * MOST_PARTS)).parts) == MOST_PARTS


def test_a_long_field_is_cut() -> None:
    mail = read(b"Subject: " + b"x" * 2 * LONGEST_FIELD + b"\r\n\r\n")
    assert mail.field("subject") == "x" * LONGEST_FIELD


@pytest.mark.parametrize(
    ("field", "links", "faults"),
    [
        ("<mailto:a@b>", ["mailto:a@b"], 0),
        ("<https://a/b>, <mailto:a@b?subject=x>", ["https://a/b", "mailto:a@b?subject=x"], 0),
        ("(by mail) <mailto:a@b>,\t(or) <HTTP://a>", ["mailto:a@b", "HTTP://a"], 0),
        ("mailto:a@b", [], 1),
        ("<mailto:a@b> or <https://a>", ["mailto:a@b", "https://a"], 1),
        ("<https://a>, <http://b>", ["https://a"], 1),
        ("<ftp://a>, <a@b>, <mailto: a>", [], 3),
        ("<", [], 1),
    ],
)
def test_unsubscribe_links(field: str, links: list[str], faults: int) -> None:
    found, wrong = unsubscribe_links(field)
    assert (found, len(wrong)) == (links, faults)


def assert_readable(content: bytes, *recipients: str) -> None:
    """All that is served of a mail can be made, and written as JSON that every parser takes."""
    message = accepted(content, to=recipients)
    summary, mail = finish(read_summary(message)), finish(read_mail(message))
    assert (text := finish(summary.text(message, ""))) == text.casefold()
    for part in mail.parts:
        assert isinstance(finish(part.content()), bytes)
        (finish(part.text()) + part.charset + part.file_name + part.content_id + part.content_type).encode("utf-8")
    shown = [summary.shown, finish(read_fields(message)), mail.fields]
    json.dumps(shown, ensure_ascii=False).encode("utf-8")


ODD_MAILS = [
    b"\x00",
    b"\xff\xfe",
    b"\r",
    b":\r\n\r\n",
    b" : \r\n\t\r\n",
    b"From \r\n\r\n",
    b"From: \xff\xfe\r\n\r\n",
    b'To: a@[\r\nCc: <\r\nBcc: "\r\nReply-To: (\r\nFrom: <@a,@b:>\r\n\r\n',
    b"To: " + b"(" * 5000 + b"\r\n\r\n",
    b"To: " + b"a:" * 5000 + b"\r\n\r\n",
    b"Subject: =?utf-16?b?2AA=?= =?utf-7?q?+2AA-?=\r\n\r\n",
    b"Content-Type: text/plain; charset*=a%00b''c\r\n\r\n\xff",
    b'Content-Type: text/plain; charset="\xff"\r\n\r\n\xff',
    b"Content-Type: text/plain; charset*" + b"1" * 5000 + b"=x\r\n\r\n",
    b"Content-Type: \xff/\xff; name=\xff\r\n\r\n",
    b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\n----\r\n',
    b"Content-Type: multipart/mixed; boundary*0*=x''%00\r\n\r\n--\x00\r\n",
    b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: a\r\n\r\n--x--",
    b"Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\n--x\r\n\r\n--x--",
    b"Content-Type: message/external-body\r\n\r\n",
    b"Content-Type: message/partial; boundary=x\r\n\r\n--x",
    b"Content-Transfer-Encoding: base64\r\n\r\n\xff====a",
    b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 /etc/passwd\r\n\xff\r\n",
    b"Content-Transfer-Encoding: uue\r\n\r\n",
    b"Content-Disposition: attachment; filename*=utf-8'%ff; filename*0*=x\r\n\r\n",
    b"Content-ID: \xff\r\nContent-Disposition: \xff\r\n\r\n",
    b"Content-Type: text/html\r\n\r\n<![x[ &#" + b"9" * 5000 + b"; &#xd800;",
    b"Date: Thu, 32 Foo -1 99:99:99 +99999999999999999999\r\n\r\n",
    b"Message-ID: \r\n <\x00>\r\nList-Unsubscribe: <<>>\r\n\r\n",
]


@pytest.mark.parametrize("content", ODD_MAILS)
def test_odd_mails(content: bytes) -> None:
    assert_readable(content, "b@example.com", "\udcff", "")


FIELDS = [b"From: ", b"To: ", b"Cc: ", b"Bcc: ", b"Reply-To: ", b"Subject: ", b"Date: ", b"Message-ID: "]
FIELDS += [b"Content-Type: ", b"Content-Disposition: ", b"Content-Transfer-Encoding: ", b"Content-ID: "]
FIELDS += [b"List-Unsubscribe: ", b"X: "]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b'"',
    b"\\",
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b"[",
    b"a",
]
PIECES += [b"*", b"0", b"''", b"%ff", b"\x00", b"\xff", b"\xc3\xa9", b"]", b"--", b"--x\r\n", b"--x--\r\n"]
PIECES += [b"text/plain", b"text/html", b"multipart/mixed", b"multipart/alternative", b"message/rfc822", b"image/png"]
PIECES += [b"boundary=x", b"charset=", b"utf-16", b"utf-7", b"idna", b"filename", b"name", b"attachment", b"inline"]
PIECES += [b"base64", b"quoted-printable", b"x-uuencode", b"begin 644 a\r\n", b"=?utf-8?q?", b"?=", b"=?x?b?", b"AA=="]
PIECES += [b"Mon, 01 Jan 2024 00:00:00", b"+9999", b"<p>", b"<!--", b"&#", b"mailto:"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(FIELDS + PIECES), max_size=40).map(b"".join))
@example(multipart(b"Content-Type: text/html;charset=idna\r\n\r\n\xff"))
def test_any_mail(content: bytes) -> None:
    assert_readable(content, "b@example.com")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_and_any_recipient(content: bytes, recipient: str) -> None:
    assert_readable(content, recipient)


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        (b"\r\n", b"x\r\n"),
        (b"", b"a:\r\n"),
        (b"Subject: a\r\n", b" a\r\n"),
        (b"To: ", b"("),
        (b"To: a:", b"b@c,"),
        (b"To: <", b"@a,"),
        (b'Content-Type: a/b;"', b";"),
        (b"Content-Disposition: attachment", b";filename*0=b"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n\r\n"),
        (b"", b"Content-Type: message/rfc822\r\n\r\n"),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
            b'--b\r\nContent-Type: a/b;"' + b";" * 4000 + b"\r\n\r\n",
        ),
    ],
)
def test_hostile_mails_take_their_time_and_no_more(start: bytes, unit: bytes) -> None:
    content = start + unit * (HOSTILE // len(unit))
    started = time.perf_counter()
    assert_readable(content, "b@example.com")
    assert time.perf_counter() - started < BOUND
