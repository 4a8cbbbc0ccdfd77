"""Thousands of rules: how long commands take, and mails that are searched for texts, and other sessions meanwhile."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from benchmarks.processes import LOAD_LIMIT, MeasurementError, Peer, ours, running
from tests.helpers import Client

from .crowd import Ask, Crowd, Part
from .figures import NOISE, Figure, at_least, at_most, reply_times
from .parts import GREETING, HELLO, OK, QUIT, noops

TEXTS, GLOBS = 3_000, 10_000
_LINE = b"Order 12345 of 2024-11-26: 17 pieces at 3.99 each, 5 of 6 were sent, 1 is missing\r\n"
"""Has what many of the texts begin with."""
SMALL, LARGE = (_LINE * (size // len(_LINE)) for size in (1_000_000, 10_000_000))
MAILS, QUICK_MAILS = 20, 3
MAIL_AT_MOST = 200.0
"""Milliseconds until a mail of 1 MB is answered."""
OTHERS = 20
NOOPS, QUICK_NOOPS = 400, 40
"""By each of the others."""
PACE = 0.01
"""Seconds between two of them."""
NOOP_AT_MOST, ANY_NOOP_AT_MOST = 20.0, 60.0
"""Milliseconds, in the 99th percentile and at all, while mails of 10 MB are searched."""
COMMANDS, QUICK_COMMANDS = 2_000, 100
COMMAND_AT_MOST = 3.0
"""Milliseconds, in the 99th percentile."""
FIRST_AT_MOST = 300.0
"""Milliseconds until the first command is answered, for which the rules are made ready."""
COUNTED_AT_MOST = 40.0
"""Milliseconds, in the 99th percentile, where all rules fit and count."""
_RULE = "[[rule]]\non = {on!r}\n{key} = {value!r}\nreply = '451 No'\n"
_KINDS: dict[str, tuple[str, str | int]] = {
    "literal globs": ("match", "user{}@example.com"),
    "globs with an asterisk": ("match", "*@domain{}.example"),
    "globs for senders": ("sender", "user{}@*"),
    "rules that fit and count": ("skip", 10**9),
}
_FIRST = "the first MAIL, for which they are made ready"


def measure(*, quick: bool) -> list[Figure]:
    return [*_texts(quick=quick), *(figure for kind in _KINDS for figure in _commands(kind, quick=quick))]


@contextmanager
def _ruled(rules: Iterable[str]) -> Iterator[Peer]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text("".join(rules), "ascii")
        with running("ours", ours(f"-rules={path}")) as peer:
            yield peer


def _texts(*, quick: bool) -> list[Figure]:
    load = f"{TEXTS:,} rules with contains"
    taken: list[float] = []
    with _ruled(
        _RULE.format(on="message", key="contains", value=f"{number} of them") for number in range(TEXTS)
    ) as peer:
        with Client(peer.port) as client:
            mails = [_answered(client, SMALL) for _ in range(QUICK_MAILS if quick else MAILS)]
        count = _beside(peer, QUICK_NOOPS if quick else NOOPS, taken)
    beside = f"{load}, mails of {len(LARGE) / 1e6:.0f} MB"
    return [
        reply_times(
            f"{load}, mails of {len(SMALL) / 1e6:.0f} MB",
            "from all sent to the reply",
            mails,
            "max",
            MAIL_AT_MOST,
            quick=quick,
        ),
        reply_times(beside, f"NOOPs of {OTHERS} others", taken, "p99", NOOP_AT_MOST, quick=quick),
        reply_times(beside, f"NOOPs of {OTHERS} others", taken, "max", ANY_NOOP_AT_MOST, quick=quick),
        at_least(beside, "mails meanwhile", count, 1),
    ]


def _answered(client: Client, body: bytes) -> float:
    """Send a mail; the seconds from when all of it was sent until it was answered."""
    client.envelope()
    client.send(body)
    begun = time.perf_counter()
    reply = client.ask(b".\r\n")
    if not reply.startswith("250"):
        raise MeasurementError(f"a mail was answered with {reply}")
    return time.perf_counter() - begun


def _beside(peer: Peer, count: int, taken: list[float]) -> int:
    """Others, beside one who sends large mails for as long as they do; how many these were."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        mails = pool.submit(_send_until, peer, stop)
        try:
            parts = (noops(number / OTHERS * PACE, count, PACE, taken) for number in range(OTHERS))
            Crowd(peer.port, parts).play(LOAD_LIMIT)
        finally:
            stop.set()
        return mails.result(LOAD_LIMIT)


def _send_until(peer: Peer, stop: Event) -> int:
    count = 0
    with Client(peer.port) as client:
        while not stop.is_set():
            _answered(client, LARGE)
            count += 1
    return count


def _commands(kind: str, *, quick: bool) -> list[Figure]:
    key, value = _KINDS[kind]
    first: list[float] = []
    taken: list[float] = []
    values = (value.format(number) if isinstance(value, str) else value for number in range(GLOBS))
    with _ruled(_RULE.format(on="mail", key=key, value=each) for each in values) as peer:
        Crowd(peer.port, [_sender(1, first)]).play(LOAD_LIMIT)
        Crowd(peer.port, [_sender(QUICK_COMMANDS if quick else COMMANDS, taken)]).play(LOAD_LIMIT)
    load, limit = f"{GLOBS:,} {kind}", COUNTED_AT_MOST if kind == "rules that fit and count" else COMMAND_AT_MOST
    return [
        at_most(load, _FIRST, first[0] * 1000, FIRST_AT_MOST * (NOISE if quick else 1), "ms"),
        reply_times(load, "each MAIL after it, all from different senders", taken, "p99", limit, quick=quick),
    ]


def _sender(commands: int, taken: list[float]) -> Part:
    """MAIL again and again, each time from somebody else."""
    greeted = yield GREETING
    greeted += yield HELLO
    for number in range(commands):
        seconds = yield Ask(b"MAIL FROM:<somebody%d@example.org>\r\n" % number, (OK,))
        taken.append(seconds + (greeted if commands == 1 else 0.0))
    yield QUIT
