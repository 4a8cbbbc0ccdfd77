"""What can be done with work in steps (:data:`~smtpmock_cli.control.exchange.Steps`)."""

from __future__ import annotations

from collections.abc import Generator

from .exchange import Steps, T


def finish(steps: Steps[T]) -> T:
    """Do all of it now; for work that is known to be small, or a thread that has the time."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def without_text(steps: Steps[T]) -> Generator[str, None, T]:
    """The steps amid the making of a text: pieces that are empty."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        yield ""
