"""The contents of a mail's parts, out of the encoding in which they are transferred (RFC 2045 section 6), in steps.

Invariant: nothing here raises; of what cannot be decoded, as much is given as can be.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator

from .exchange import Steps

_SLICE = 192 * 1024
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(byte for byte in range(256) if byte not in _BASE64)
_LINES_A_STEP = 2000


def decoded_content(data: bytes, start: int, end: int, encoding: str) -> Steps[bytes]:
    """The content of a part.

    :param encoding: the value of its Content-Transfer-Encoding field; an unknown one is none.
    """
    decode = _DECODERS.get(encoding.strip().lower())
    if decode is None:
        return data[start:end]
    pieces: list[bytes] = []
    for piece in decode(data, start, end):
        pieces.append(piece)
        yield
    return b"".join(pieces)


def _base64(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Section 6.8: what is outside the alphabet is skipped, and the padding is the end."""
    rest = b""
    for at in range(start, end, _SLICE):
        digits, padding, _ = (rest + data[at : min(at + _SLICE, end)].translate(None, _NOT_BASE64)).partition(b"=")
        whole = len(digits) // 4 * 4
        rest = digits[whole:]
        yield binascii.a2b_base64(digits[:whole])
        if padding:
            break
    if len(rest) > 1:
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))


def _quoted_printable(data: bytes, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        cut = min(start + _SLICE, end)
        if cut < end:
            cut = data.rfind(b"\n", start, cut) + 1 or cut
            # A line that is as long as that: at least no =XX of it is cut.
            cut -= next((back for back in (1, 2) if data[cut - back : cut - back + 1] == b"="), 0)
        yield binascii.a2b_qp(data[start:cut])
        start = cut


def _uuencoded(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Lines between "begin" and "end", as Unix to Unix copy had them; a line that is not one is skipped."""
    begin = data.find(b"begin ", start, end)
    if begin < 0:
        yield data[start:end]
        return
    at, decoded = _line_end(data, begin, end), list[bytes]()
    while at < end:
        next_at = _line_end(data, at, end)
        line = data[at:next_at].strip(b"\r\n")
        if line == b"end":
            break
        decoded.append(_uuencoded_line(line))
        at = next_at
        if len(decoded) >= _LINES_A_STEP:
            yield b"".join(decoded)
            decoded.clear()
    yield b"".join(decoded)


def _line_end(data: bytes, at: int, end: int) -> int:
    return data.find(b"\n", at, end) + 1 or end


def _uuencoded_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""


_DECODERS: dict[str, Callable[[bytes, int, int], Iterator[bytes]]] = {
    "base64": _base64,
    "quoted-printable": _quoted_printable,
    "x-uuencode": _uuencoded,
    "uuencode": _uuencoded,
    "uue": _uuencoded,
    "x-uue": _uuencoded,
}
