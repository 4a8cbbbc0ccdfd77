"""Cases of bytes that arrive: in one go, or a byte at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

from smtpmock_cli import Configuration, Rule
from smtpmock_cli.control.http import HttpProtocol
from smtpmock_cli.net.connection import Connection
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.body import CRLF, LF, Body
from smtpmock_cli.smtp.session import LINE_LIMIT, Session
from tests.fuzz.http_service import Service, Wire
from tests.helpers import ENVELOPE, HELO, MAIL, RCPT, TRANSACTION, script

from .case import Call, Case, each, filled

_UNBOUNDED = 10**9
_UNITS_OF_A_BODY = (*(b"a", b".", b"\n", b"\r\n", b"\n.", b"\r\n.", b"\r\n..", b"\n.\r", b".\r\r\n", b"\r", b"a.\r\n"),)
_WORDS = (b"A", b"=", b"*", b" ", b"AGFA", b"\xff", b"IAAg")
_EHLO = b"EHLO a.bc\r\n"
_DATA = ENVELOPE + b"DATA\r\n"

_PLAIN, _SEVERAL = Configuration(), Configuration(multiple_rcptto=True)
_MESSAGES = Configuration(multiple_message_receiving=True)
_ESMTP = Configuration(extensions=["CHUNKING"], auth_users=["a:b"])
_RULES = Configuration(
    rules=[
        *(Rule(on="helo", match=glob, delay=1) for glob in ("*a*b*c", "*[a-y]*z", "?" * 20 + "*z", "*" * 20 + "z")),
        *(Rule(on="any", sender=glob, delay=1) for glob in ("*@*.*z", "*a*a*a*a*z")),
        *(Rule(on="message", contains=text, match="*x*y", delay=1) for text in ("a" * 40 + "b", "ab" * 20 + "c")),
    ]
)
_A_RULE = 10
"""Bytes of an input that count as one rule, where these are so many that they are not asked one by one."""
_MANY: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "texts that end alike": ("message", lambda number: {"contains": f"{number}{' this' * 9}"}),
    "globs": ("any", lambda number: {"match": f"*@{number}.example"}),
    "recipients": ("data", lambda number: {"recipient": f"user{number}@*"}),
}


def cases() -> Iterator[Case]:
    for line_end in (LF, CRLF):
        yield Case(f"body by {line_end!r}", partial(_body, line_end, _UNBOUNDED, _UNBOUNDED))
        yield Case(f"body by {line_end!r}, in pieces", partial(_body, line_end, 100, _UNBOUNDED), 1 / 4)
        yield Case(f"body by {line_end!r}, in pieces, over the limit", partial(_body, line_end, 100, 10), 1 / 4)
        yield Case(f"body by {line_end!r}, byte by byte", partial(_body, line_end, 1, _UNBOUNDED), 1 / 16)
    yield from _whole_streams()
    yield Case("a line, byte by byte", partial(_bytewise, _PLAIN, b"", b"a"))
    yield Case("a line that is too long, byte by byte", partial(_bytewise, _PLAIN, b"a" * LINE_LIMIT, b"a"), 1 / 4)
    yield Case("DATA, byte by byte", partial(_bytewise, _PLAIN, _DATA, b"\n."), 1 / 16)
    yield Case("BDAT, byte by byte", partial(_bytewise, _ESMTP, _EHLO + MAIL + RCPT + b"BDAT 99999\r\n", b"a"), 1 / 16)
    yield Case("HTTP's head, byte by byte", partial(_http, b"GET / HTTP/1.1\r\nX: ", b"a"), 1 / 16)
    yield Case("HTTP's fields, byte by byte", partial(_http, b"GET / HTTP/1.1\r\n", b"X: a\r\n"), 1 / 16)
    for name in _MANY:
        yield Case(f"many rules: {name}", partial(_many, name))
    chunked = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield Case("HTTP's chunks, byte by byte", partial(_http, chunked, b"1\r\na\r\n"), 1 / 16)


def _body(line_end: bytes, piece: int, limit: int, size: int) -> Call:
    def take(stream: bytes) -> None:
        body = Body(limit, line_end)
        for at in range(0, len(stream), piece):
            body.feed(stream[at : at + piece])
        body.content()

    return each(take, filled(_UNITS_OF_A_BODY if piece > 1 else [line_end + b"."], size))


def _whole_streams() -> Iterator[Case]:
    streams: dict[str, tuple[Configuration, bytes, Sequence[bytes], bytes]] = {
        "pipelined commands": (_PLAIN, b"", [b"NOOP\r\n"], b""),
        "pipelined recipients": (_SEVERAL, ENVELOPE, [RCPT], b""),
        "pipelined chunks": (_ESMTP, _EHLO + MAIL + RCPT, [b"BDAT 9\r\n123456789"], b""),
        "pipelined messages in chunks": (_ESMTP, _EHLO, [MAIL + RCPT + b"BDAT 1 LAST\r\na"], b""),
        "AUTH": (_ESMTP, _EHLO + b"AUTH PLAIN ", _WORDS, b"\r\n"),
        "a response to AUTH": (_ESMTP, _EHLO + b"AUTH CRAM-MD5\r\n", _WORDS, b"\r\n"),
        "rules on a line": (_RULES, b"HELO ", (b"a", b"ab", b"a@", b".", b"z\xc3\xa9"), b"\r\n"),
        "rules on a path": (_RULES, b"HELO a.bc\r\nMAIL FROM:<", (b"a", b"a.", b"a@", b">"), b"@b.co\r\n"),
        "rules on a body": (_RULES, _DATA + b"Subject: ", (b"a", b"ab", b"x", b"\n "), b"\r\n.\r\n"),
    }
    for name, stream in streams.items():
        yield Case(name, partial(_whole, *stream))
    transactions = [TRANSACTION + b"RSET\r\n"]
    # More than a session looks at together.
    yield Case("pipelined transactions", partial(_whole, _MESSAGES, b"", transactions, b""), 4)


def _whole(settings: Configuration, before: bytes, units: Sequence[bytes], after: bytes, size: int) -> Call:
    streams = (before + filling + after for filling in filled(units, size))
    return each(lambda stream: _play(settings, [stream]), streams)


def _many(name: str, size: int) -> Call:
    """Rules by the size, recipients if these are asked, and a body too long to be searched for all texts at once."""
    on, keys = _MANY[name]
    count = size // _A_RULE
    rules = [Rule(on=on, delay=1, **keys(number)) for number in range(count)]
    settings = Configuration(rules=rules, multiple_rcptto=True)
    recipients = b"".join(b"RCPT TO:<%d@b.co>\r\n" % number for number in range(count if on == "data" else 1))
    (body,) = filled([b"17 38 20 65 this this 94 "], 4 * size)
    return partial(_play, settings, [HELO + MAIL + recipients + b"DATA\r\n" + body + b"\r\n.\r\n"])


def _bytewise(settings: Configuration, before: bytes, unit: bytes, size: int) -> Call:
    return partial(_play, settings, _in_bytes(before, unit, size))


def _in_bytes(before: bytes, unit: bytes, size: int) -> list[bytes]:
    (filling,) = filled([unit], size)
    return [before, *(filling[at : at + 1] for at in range(size))]


def _play(settings: Configuration, pieces: Iterable[bytes]) -> None:
    """A session whose events nobody keeps."""
    session = Session(command_table(settings), script(settings))
    for piece in pieces:
        session.receive_data(piece)
        while session.next_event() is not events.NEED_DATA:
            pass


def _http(before: bytes, unit: bytes, size: int) -> Call:
    pieces = _in_bytes(before, unit, size)

    def call() -> None:
        service = Service()
        wire = Wire(service.loop)
        protocol = HttpProtocol(cast(Connection, wire), service.answer)
        protocol.start()
        for piece in pieces:
            protocol.data_received(piece)
        assert not wire.is_closed
        service.loop.close()

    return call
