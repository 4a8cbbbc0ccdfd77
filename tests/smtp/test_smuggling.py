"""SMTP smuggling: each row of the table in docs/smuggling.md is what a session does."""

from __future__ import annotations

import re

import pytest

from smtpmock_cli import Configuration
from tests.helpers import ENVELOPE, MAIL, ROOT, Played, play

ENDS = "ends"
ROW = re.compile(r"^\| `(\\[^`]*)` \| (\S+) \| (\S+) \| [^|]+ \|$", re.MULTILINE)
ROWS = [match.groups() for match in ROW.finditer((ROOT / "docs/smuggling.md").read_text("utf-8"))]
SMUGGLED = b"MAIL FROM:<smuggled@example.com>\r\n"


def in_bytes(cell: str) -> bytes:
    return cell.strip("`").encode().decode("unicode_escape").encode("latin-1")


def cells(*, esmtp: bool) -> list[tuple[bool, bytes, str]]:
    return [(esmtp, in_bytes(variant), strict if esmtp else plain) for variant, plain, strict in ROWS]


def test_the_table_has_the_published_variants() -> None:
    published = {b"\r\n.\r\n", b"\n.\r\n", b"\n.\n", b"\r\n.\n", b"\r.\r\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r\n.\r"}
    published |= {b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n..\r\n"}
    assert {in_bytes(variant) for variant, _, _ in ROWS} >= published


@pytest.mark.parametrize(("esmtp", "variant", "outcome"), [*cells(esmtp=False), *cells(esmtp=True)])
def test_an_end_of_data(esmtp: bool, variant: bytes, outcome: str) -> None:
    sent = ENVELOPE + b"DATA\r\na" + variant + SMUGGLED + b"\r\n.\r\n"
    played = play(sent, Configuration(esmtp=esmtp), then_end=False)
    if outcome == ENDS:
        assert replies_after_data(played) == 4  # the body's, and one for each line behind it
    else:
        assert replies_after_data(played) == 1
        stored = play(sent + b"QUIT\r\n", Configuration(esmtp=esmtp)).messages[0].msg_request
        assert stored == b"a" + in_bytes(outcome) + SMUGGLED + b"\r\n"


@pytest.mark.parametrize("variant", [in_bytes(variant) for variant, _, _ in ROWS])
def test_nothing_in_a_chunk_ends_it(variant: bytes) -> None:
    chunk = b"a" + variant + SMUGGLED
    sent = b"EHLO example.com\r\n" + MAIL + b"RCPT TO:<b@example.com>\r\nBDAT %d LAST\r\n" % len(chunk)
    played = play(sent + chunk + b"QUIT\r\n", Configuration(extensions=["CHUNKING"]))
    assert played.messages[0].msg_request == chunk
    assert [reply[:3] for reply in played.replies[-2:]] == ["250", "221"]


def replies_after_data(played: Played) -> int:
    return len(played.replies) - 1 - next(n for n, reply in enumerate(played.replies) if reply.startswith("354"))
