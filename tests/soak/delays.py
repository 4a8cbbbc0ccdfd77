"""Many sessions, each with a delay of its own, and some without: each reply comes at its time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import ours, running
from tests.helpers import HELO, MAIL, RCPT

from . import descriptors
from .crowd import Ask, Crowd, Part
from .figures import Figure, at_least, reply_times
from .parts import GREETING, OK, QUIT, noops

SESSIONS, QUICK_SESSIONS = 1_000, 100
LONGEST, QUICK_LONGEST = 30, 5
"""Tenths of a second; there is a delay for each from 0."""
ARRIVAL = 1.0
"""Seconds over which the sessions begin."""
UNDELAYED = 100
PACE = 0.05
"""Seconds between two commands of a session without delay."""
LATE_AT_MOST = 20.0
"""Milliseconds."""
EARLY_AT_LEAST = -round(time.get_clock_info("monotonic").resolution * 1000)
"""Milliseconds: 0, or less by the step in which the server's clock goes."""
LIMIT = 120.0
"""Seconds that all of it may take."""
_DELAYED = (HELO, MAIL, RCPT)
_RULE = '[[rule]]\non = ["helo", "mail", "rcpt"]\nmatch = "{domain}"\ndelay = {delay}\n'


def measure(*, quick: bool) -> list[Figure]:
    longest = QUICK_LONGEST if quick else LONGEST
    late: list[float] = []
    beside: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text("".join(_rule(tenths) for tenths in range(longest + 1)), "ascii")
        descriptors.lower()
        with running("ours", ours(f"-rules={path}")) as peer:
            sessions = descriptors.enough_for((QUICK_SESSIONS if quick else SESSIONS) + UNDELAYED) - UNDELAYED
            delays = [number % (longest + 1) for number in range(sessions)]
            Crowd(peer.port, [*_delayed(delays, late), *_undelayed(longest, beside)]).play(LIMIT)
    load = f"{sessions:,} sessions, delays from 0 to {longest / 10:g} s"
    return [
        reply_times(load, "replies, after their time", late, "max", LATE_AT_MOST, quick=quick),
        at_least(load, "the earliest reply, after its time", min(late) * 1000, EARLY_AT_LEAST, "ms"),
        reply_times(load, f"replies to {UNDELAYED} others, without", beside, "max", LATE_AT_MOST, quick=quick),
    ]


def _domain(tenths: int) -> str:
    return f"d{tenths}.example"


def _rule(tenths: int) -> str:
    return _RULE.format(domain=_domain(tenths), delay=tenths / 10)


def _delayed(delays: Sequence[int], late: list[float]) -> Iterator[Part]:
    """Sessions that begin one after the other, each with a delay of its own."""
    for number, tenths in enumerate(delays):
        yield _delayed_part(tenths, number / len(delays) * ARRIVAL, late)


def _delayed_part(tenths: int, begin: float, late: list[float]) -> Part:
    """Commands whose replies are delayed; how long after its time each came goes into ``late``."""
    domain = _domain(tenths).encode("ascii")
    yield GREETING
    at = time.perf_counter() + begin
    for line in _DELAYED:
        seconds = yield Ask(line.replace(b"example.com", domain), (OK,), at)
        late.append(seconds - tenths / 10)
        at = 0.0
    yield QUIT


def _undelayed(longest: int, taken: list[float]) -> Iterator[Part]:
    """Sessions that go on at their pace for as long as those with a delay do."""
    asks = round((ARRIVAL + longest / 10 * len(_DELAYED)) / PACE)
    for number in range(UNDELAYED):
        yield noops(number / UNDELAYED * PACE, asks, PACE, taken)
