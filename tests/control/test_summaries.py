"""Each mail is parsed once, in steps, as long as there is room for what is kept of it."""

from __future__ import annotations

import time

import pytest

from smtpmock_cli import Message, Server
from smtpmock_cli.control import summaries as module
from smtpmock_cli.control.exchange import Steps
from smtpmock_cli.control.steps import finish
from smtpmock_cli.control.summaries import Summaries
from smtpmock_cli.control.summary import Summary, read_summary
from tests.control.mails import accepted
from tests.control.web import ask, send_mails

MEGABYTE = 1024 * 1024
BOUND = 0.5
"""Seconds of one step, on however busy a machine; without steps each of these takes several."""


def mails(count: int) -> list[Message]:
    return [accepted(b"Subject: hi\r\n\r\n" + b"x" * 100, id=number) for number in range(1, count + 1)]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the mails that were parsed."""
    ids: list[int] = []

    def read(message: Message) -> Steps[Summary]:
        ids.append(message.id)
        return read_summary(message)

    monkeypatch.setattr(module, "read_summary", read)
    return ids


def test_a_summary_is_kept_as_long_as_its_message(parsed: list[int]) -> None:
    summaries = Summaries()
    (mail,) = mails(1)
    assert finish(summaries.of(mail)) is finish(summaries.of(mail))
    assert parsed == [1]
    del mail
    assert len(summaries._known) == 0


def test_where_there_is_no_room_the_first_ones_are_kept(parsed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    some = mails(5)
    monkeypatch.setattr(module, "ROOM", 2 * finish(read_summary(some[0])).size)
    summaries = Summaries()
    for mail in some * 2:
        finish(summaries.of(mail))
    assert parsed == [1, 2, 3, 4, 5, 3, 4, 5]


def test_room_comes_with_what_is_removed(parsed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    some = mails(3)
    monkeypatch.setattr(module, "ROOM", finish(read_summary(some[0])).size)
    summaries = Summaries()
    for mail in some:
        finish(summaries.of(mail))
    del some[0], mail
    for _ in range(2):
        for mail in some:
            finish(summaries.of(mail))
    assert parsed == [1, 2, 3, 2, 3, 3]


@pytest.mark.parametrize(
    ("head", "unit", "end"),
    [
        (b"Content-Type: text/html\r\n\r\n", b"&#1", b""),
        (b"Content-Type: text/html\r\n\r\n", b"<p>x</p>", b""),
        (b"Content-Type: text/html\r\n\r\n", b"<", b""),
        (b"Content-Type: text/html\r\n\r\n", b"<!--", b""),
        (b"", b"X: y\r\n", b"\r\n"),
        (b"X: y\r\n", b" y\r\n", b"\r\n"),
        (b"To: ", b"a@b,", b"\r\n\r\n"),
        (b"To: ", b"(", b"\r\n\r\n"),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n", b"--x\r\n\r\nhi\r\n", b"--x--\r\n"),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n", b"--xx\r\n", b""),
        (b"\r\n", b"\r\n", b""),
        (b"\r\n", b"\r", b""),
        (b"\r\n", b"a ", b""),
        (b"Content-Type: text/plain; charset=gb2312\r\n\r\n", "中".encode("gb2312"), b""),
        (b"Content-Transfer-Encoding: base64\r\n\r\n", b"YWJj", b""),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=41=\r\n", b""),
        (b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n", b"!80\r\n", b"end\r\n"),
    ],
)
def test_a_hostile_mail_is_read_in_small_steps(head: bytes, unit: bytes, end: bytes) -> None:
    steps = read_summary(accepted(head + unit * (2 * MEGABYTE // len(unit)) + end))
    longest, done = 0.0, object()
    while True:
        begun = time.thread_time()
        is_done = next(steps, done) is done
        longest = max(longest, time.thread_time() - begun)
        if is_done:
            break
    assert longest < BOUND


def test_a_search_through_many(server: Server) -> None:
    send_mails(server, 40)
    assert ask(server, "/api/v1/search?query=subject:hi&limit=0").json["count"] == 40
    assert ask(server, "/api/v1/message/latest/raw?query=subject:absent").status == 404
    assert ask(server, "/api/v1/search?query=subject:hi", "DELETE").body == b"ok"
    assert server.messages() == []
