"""Bodies against models: that of DATA read line by line, that of BDAT joined from its chunks.

An input is: what the body is, limit, first cut, size of the other pieces, and the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise

from smtpmock_cli import Configuration
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.body import CRLF, LF, Body
from tests.fuzz.conversation import check_conversation, check_message, converse
from tests.fuzz.pieces import chosen, cut
from tests.fuzz.seeds import EHLO, STREAMS
from tests.helpers import BODY, MAIL, RCPT

LONGEST = 512
TOKENS = (b"\r\n.\r\n", b"\n.\r\n", b"\r\n..", b"\n..", b".\r\n", b"\r\n", b".\n", b"\r", b"\n.\n", b"\r.\r", b"\x00")

_LIMITS = (10_000, 0, 1, 5, 20)
_CHUNKING = {
    limit: command_table(Configuration(extensions=["CHUNKING"], msg_size_limit=limit)) for limit in (5, 10_000)
}
_MOST_CHUNKS = 8


def _model(stream: bytes, line_end: bytes) -> tuple[bytes, bytes | None]:
    """The body's lines with the dots out, and what follows their end; None where it has none."""
    content, rest = b"", stream
    while True:
        line, end, rest = rest.partition(line_end)
        if line + end == b".\r\n":
            return content, rest
        content += (line + end).removeprefix(b".")
        if not end:
            return content, None


def _check_data(stream: bytes, line_end: bytes, limit: int, pieces: list[bytes]) -> None:
    content, behind = _model(stream, line_end)
    body = Body(limit, line_end)
    rest: bytes | None = None
    while pieces and rest is None:
        rest = body.feed(pieces.pop(0))
    if behind is None:
        assert rest is None
        assert len(content) - len(line_end) - 3 <= body.size <= len(content)
        return
    assert rest is not None
    assert rest + b"".join(pieces) == behind
    assert body.size == len(content)
    assert body.content() == (content if len(content) <= limit else None)


def _check_chunks(stream: bytes, sizes: bytes, first: int, size: int, limit: int) -> None:
    """The stream in chunks of these sizes, and what is left in a last one; then the dialogue is in step."""
    chunks = [stream[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]
    chunks.append(stream[sum(sizes) :])
    wire = b"".join(b"BDAT %d\r\n%s" % (len(chunk), chunk) for chunk in chunks[:-1])
    wire = EHLO + MAIL + RCPT + wire + b"BDAT %d LAST\r\n%sNOOP\r\n" % (len(chunks[-1]), chunks[-1])
    heard = converse(cut(wire, len(EHLO + MAIL + RCPT) + first, size), _CHUNKING[limit])
    check_conversation(heard)
    assert len(heard.replies) == 5 + len(chunks)
    assert heard.replies[-1].startswith("250 Ok")
    assert events.INPUT_ENDED in heard.events
    (message,) = heard.messages
    check_message(message, limit)
    assert message.is_consistent == (len(stream) <= limit)
    assert message.msg_request == (stream if message.is_consistent else b"")


def check(data: bytes) -> None:
    if len(data) < 4:
        return
    kind, limit, first, size = data[:4]
    stream = data[4:]
    if kind % 3 < 2:
        _check_data(stream, (LF, CRLF)[kind % 3], chosen(_LIMITS, limit), cut(stream, first, size))
    else:
        count = limit // 2 % _MOST_CHUNKS
        _check_chunks(stream[count:], stream[:count], first, size, (10_000, 5)[limit % 2])


def seeds() -> Iterator[bytes]:
    bodies = (
        b".\r\n",
        b"..\r\n.\r\n",
        b"a\n.\r\n",
        b"\n..\r\r\n..\r\n.\r\n",
        b"\r\n.\r\r\n.\r\n",
        BODY + b".\r\nNOOP\r\n",
    )
    for kind in range(3):
        for number, stream in enumerate((*bodies, *STREAMS)):
            yield bytes([kind, number % 8, number % 7, 1 + number % 4]) + stream
