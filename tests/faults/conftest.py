from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests import unix

LONGEST = 60.0
"""Seconds that a test may take; no wait for a log line or a process is longer."""


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    if not hasattr(signal, "setitimer"):  # Windows, where each wait has only a deadline of its own
        yield
        return
    before = signal.signal(unix.signal.SIGALRM, _give_up)
    signal.setitimer(unix.signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(unix.signal.ITIMER_REAL, 0)
        signal.signal(unix.signal.SIGALRM, before)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"the test was not done after {LONGEST:.0f} s")
