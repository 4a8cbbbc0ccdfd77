"""The targets by name. Nothing is imported here: what is imported before the instrumentation is not covered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Protocol, cast


class Target(Protocol):
    """What a target's module has."""

    LONGEST: int
    """The longest input worth making, in bytes."""
    TOKENS: tuple[bytes, ...]
    """What an input is put together from."""
    check: Callable[[bytes], None]
    """Fails where the input makes something untrue that has to hold."""
    seeds: Callable[[], Iterator[bytes]]
    """Inputs to begin with."""


MODULES = {
    name: f"tests.fuzz.{name}_target"
    for name in ("session", "grammar", "body", "http", "guard", "query", "mail", "rules", "auth")
}


def load(module: str) -> Target:
    return cast(Target, import_module(module))
