"""A target with a fault, by which it is shown that a fault is found: what it is given must not begin with it."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 64
FAULT = b"EHLO\xff"
TOKENS = (FAULT,)


def check(data: bytes) -> None:
    assert not data.startswith(FAULT), "the planted fault"


def seeds() -> Iterator[bytes]:
    yield b"EHLO example.com\r\n"
