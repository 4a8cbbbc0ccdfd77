"""JSON in ASCII, made piece by piece, so that neither its whole nor any long text in it is ever held at once.

Invariant: a piece is a few milliseconds' work at most; an empty one is a step that made none.
"""

from __future__ import annotations

import codecs
import json
from binascii import b2a_base64
from collections.abc import Generator, Iterable, Iterator

from ..message import Message
from .exchange import JSON, Pieces, Response

_SLICE = 48 * 1024
"""How many characters of a text, or bytes of a body, are written at a time: a multiple of three, for base 64."""
_SMALL = 16 * 1024
"""Up to how many bytes of body a message is written at once, which is faster."""
_FEW = 20
"""The same for recipients."""
_PIECE = 32 * 1024
_MANY = 2000
"""How many short texts make a piece, however few bytes they are."""


class Written:
    """A value that is JSON already, in pieces."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Iterable[str]) -> None:
        self.pieces = pieces


def json_pieces(value: object) -> Iterator[str]:
    """A value as ``json.dumps`` writes it; an iterator in it is an array."""
    if isinstance(value, Written):
        yield from value.pieces
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(key)}: "
            yield from json_pieces(item)
        yield "}"
    elif isinstance(value, (list, tuple, Iterator)):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ", "
            yield from json_pieces(item)
        yield "]"
    elif isinstance(value, str) and len(value) > _SLICE:
        yield '"'
        yield from (_escaped(value[at : at + _SLICE]) for at in range(0, len(value), _SLICE))
        yield '"'
    else:
        yield json.dumps(value)


def long_json_response(value: object) -> Response:
    """A value as :func:`json_pieces` has it, made while it is sent."""
    return Response(in_bytes(json_pieces(value)), JSON)


def message_pieces(message: Message) -> Iterator[str]:
    """A message as :meth:`Message.as_json` has it."""
    body = message.msg_request
    if len(body) <= _SMALL and len(message.rcptto_request_response) <= _FEW:
        yield json.dumps(message.as_json())
        return
    is_utf8 = yield from _is_utf8(body)
    fields = message.as_json(with_body=False)
    fields["msg_request"] = Written(_utf8_pieces(body) if is_utf8 else _base64_pieces(body))
    fields["msg_request_encoding"] = "utf-8" if is_utf8 else "base64"
    yield from json_pieces(fields)


def in_bytes(texts: Iterable[str]) -> Pieces:
    """The texts as bytes, the short ones together."""
    collected: list[str] = []
    size = 0
    for text in texts:
        collected.append(text)
        size += len(text)
        if not text or size >= _PIECE or len(collected) >= _MANY:
            yield "".join(collected).encode("ascii")
            collected.clear()
            size = 0
    yield "".join(collected).encode("ascii")


def _is_utf8(body: bytes) -> Generator[str, None, bool]:
    if not body.isascii():
        decode = codecs.getincrementaldecoder("utf-8")().decode
        try:
            for at in range(0, len(body), _SLICE):
                decode(body[at : at + _SLICE])
                yield ""
            decode(b"", True)
        except UnicodeDecodeError:
            return False
    return True


def _utf8_pieces(body: bytes) -> Iterator[str]:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    yield '"'
    yield from (_escaped(decode(body[at : at + _SLICE])) for at in range(0, len(body), _SLICE))
    yield '"'


def _base64_pieces(body: bytes) -> Iterator[str]:
    yield '"'
    yield from (b2a_base64(body[at : at + _SLICE], newline=False).decode("ascii") for at in range(0, len(body), _SLICE))
    yield '"'


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]
