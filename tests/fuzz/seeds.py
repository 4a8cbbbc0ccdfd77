"""Seeds that several targets share: the recordings of the reference as bytes, and streams of SMTP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from tests.helpers import BODY, MAIL, RCPT, TRANSACTION, recorded_bytes, recording

EHLO = b"EHLO example.com\r\n"
CHUNKED = (
    *(EHLO, b"MAIL FROM:<a@example.com> SIZE=10 BODY=BINARYMIME RET=HDRS ENVID=x+2By\r\n"),
    b"RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.com\r\n",
    *(b"BDAT 5\r\na\r\n.\n", b"BDAT 0\r\n", b"BDAT 3 LAST\r\n.\r\n", b"RSET\r\nVRFY a\r\nHELP\r\n"),
)
STREAMS = (
    TRANSACTION + b"QUIT\r\n",
    TRANSACTION + b"RSET\r\n" + TRANSACTION + b"NOOP x\r\nQUIT\r\n",
    EHLO + MAIL + RCPT + RCPT.replace(b"b@", b"c@") + b"DATA\r\n..\r\n.a\r\n" + BODY + b"\n.\r\n" + MAIL,
    b"".join(CHUNKED),
    EHLO + b'MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<@c.d,@e.f:"q \\" s"@[IPv6:::1]>\r\nDATA\r\n.\r\n',
    EHLO + "MAIL FROM:<zoë@münchen.de> SMTPUTF8\r\nRCPT TO:<Postmaster>\r\nDATA\r\n".encode(),
    b"AUTH PLAIN AGpvZQBwdw==\r\nAUTH LOGIN\r\nam9l\r\ncHc=\r\nAUTH CRAM-MD5\r\n*\r\n",
    EHLO + MAIL + RCPT + b"BDAT 1 LAST\r\naDATA\r\n",
    TRANSACTION.replace(BODY, b"Subject: =?\xff?q?x?=\r\n" + BODY),
    EHLO + b"STARTTLS\r\n" + TRANSACTION,
    b"HELO \xff\r\n\x1b[2J\x9b\r\nMAIL FROM:<a\rb@example.com>\r\nFOO data\r\nQUIT now\r\n",
)
TOKENS = (
    *(b"HELO ", b"EHLO ", b"MAIL FROM:", b"RCPT TO:", b"DATA\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n"),
    *(b"BDAT ", b" LAST\r\n", b"VRFY ", b"HELP\r\n", b"STARTTLS\r\n", b"AUTH ", b"PLAIN", b"LOGIN", b"CRAM-MD5"),
    *(b" SIZE=", b" BODY=", b"BINARYMIME", b"8BITMIME", b"7BIT", b" SMTPUTF8", b" RET=FULL", b" ENVID=", b" AUTH=<>"),
    *(b" NOTIFY=NEVER", b" ORCPT=rfc822;", b"\r\n.\r\n", b"\n.\r\n", b"\r\n..", b"\r\n", b"<>", b"<a@b.co>", b"@b.co"),
    *(b"example.com", b"localhost", b"127.0.0.1", b"[127.0.0.1]", b"[IPv6:::1]", b"<Postmaster>", b"bad@example.com"),
    *("\u017f".encode(), "\u212a".encode(), "\u0345".encode(), "é".encode(), b"\xff", b"\x1b[", b"\x00"),
)


@cache
def recorded_streams() -> tuple[bytes, ...]:
    """What each recorded session was sent, whole."""
    sessions = (session for case in recording("sessions.json") for session in case["sessions"])
    streams = (b"".join(recorded_bytes(step["send"]) for step in session["steps"]) for session in sessions)
    return tuple(dict.fromkeys(streams))


def recorded_lines() -> Iterator[tuple[str, bytes]]:
    """Recorded arguments: the recogniser's kind, and the line."""
    recorded = recording("arguments.json")
    for kind in ("helo", "mailfrom", "rcptto"):
        for line, _ in recorded[kind]:
            yield kind, recorded_bytes(line)
