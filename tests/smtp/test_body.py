from __future__ import annotations

import pytest

from smtpmock_cli import Configuration
from smtpmock_cli.smtp import events
from tests.helpers import ENVELOPE, Played, play


def body_of(sent: bytes, limit: int = 0, *, esmtp: bool = False) -> Played:
    return play(ENVELOPE + b"DATA\r\n" + sent, Configuration(msg_size_limit=limit, esmtp=esmtp))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"a\n.\r\n", b"a\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n.a\r\n..b\r\n.\r\n", b"..\r\na\r\n.b\r\n"),
        (b".\n.\r\n", b"\n"),
        (b"a\r\n.\n.\r\n", b"a\r\n\n"),
        (b".\r\r\n.\r\n", b"\r\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"a\r.\r\n.\r\n", b"a\r.\r\n"),
        (b"\x00\xff caf\xe9\r\n.\r\n", b"\x00\xff caf\xe9\r\n"),
        (b"\n\n.\n\n..\n.\r\n", b"\n\n\n\n.\n"),
    ],
)
def test_body_ends_at_a_lone_dot_and_loses_stuffed_ones(sent: bytes, stored: bytes) -> None:
    played = body_of(sent)
    assert played.replies[-1] == "250 Received"
    assert played.messages[-1].msg_request == stored
    assert played.messages[-1].is_consistent


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\n.\r\n.\r\n", b"a\n.\r\n"),
        (b"..\r\n..a\n..b\r\n.c\r\n.\r\n", b".\r\n.a\n..b\r\nc\r\n"),
        (b"\n..\r\r\n..\r\n.\r\n", b"\n..\r\r\n.\r\n"),
        (b"\r.\r\n\r\n.\r\n", b"\r.\r\n\r\n"),
        (b".\r\r\n.\r\n", b"\r\r\n"),
    ],
)
def test_with_esmtp_a_line_ends_at_cr_lf_only(sent: bytes, stored: bytes) -> None:
    played = body_of(sent, esmtp=True)
    assert played.replies[-1].startswith("250")
    assert played.messages[-1].msg_request == stored
    assert played.messages[-1].is_consistent


@pytest.mark.parametrize("esmtp", [False, True])
@pytest.mark.parametrize("sent", [b"", b"a", b"\n", b"a\r\n.\r", b".\n", b".\r.\r\n", b"a.\r\n", b"\r.\r\n"])
def test_body_without_its_end_gets_no_reply(sent: bytes, esmtp: bool) -> None:
    played = body_of(sent, esmtp=esmtp)
    assert played.replies[-1].startswith("354")
    assert not played.messages[-1].msg


@pytest.mark.parametrize(("limit", "code"), [(4, "552"), (5, "250"), (6, "250")])
def test_limit_counts_what_is_stored(limit: int, code: str) -> None:
    """Five bytes are stored: the stuffed dot and the end do not count."""
    played = body_of(b"..a\r\n\n.\r\nNOOP\r\n", limit)
    assert [reply[:3] for reply in played.replies[-2:]] == [code, "250"]
    message = played.messages[-1]
    assert message.msg is (code == "250")
    assert message.msg_request == (b".a\r\n\n" if message.msg else b"")
    assert code == "250" or played.replies[-2] == f"552 Message exceeded max size of {limit} bytes"


def test_every_line_is_told_when_it_ends() -> None:
    def lines(sent: bytes) -> int:
        return sum(event.lines for event in body_of(sent).events if isinstance(event, events.BodyReceived))

    assert [lines(sent) for sent in (b"a", b"a\n", b"a\n.", b"a\r\n.\r\n", b".\r\nNOOP\r\n")] == [
        0,
        1,
        1,
        2,
        1,
    ]
