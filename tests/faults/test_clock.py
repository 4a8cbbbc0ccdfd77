"""A system clock that is set while the program runs: what it tells follows, what it waits for does not."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.tools import ToolMissing
from tests.helpers import Daemon, daemon
from tests.test_cli import STAMP, posix
from tests.test_files import records

from .clocks import WAYS, Clock
from .observed import MARGIN, assert_serves, assert_stops

pytestmark = posix

HOUR = 3600


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    try:
        made: Clock = request.param(tmp_path)
    except ToolMissing as missing:
        pytest.skip(str(missing))
    return made


@pytest.mark.parametrize("shift", [-HOUR, HOUR], ids=["back", "forward"])
def test_delays_and_timeouts_take_their_time(clock: Clock, shift: int) -> None:
    with daemon("-responseDelayNoop=1", "-sessionTimeout=1", **clock.options) as running:
        with running.client() as late, running.client() as silent:
            begun = time.monotonic()
            late.send(b"NOOP\r\n")
            stamp_of(running, "SMTP response delay: 1 sec")
            clock.set_by(shift)
            assert late.read() == "250 Ok"
            assert 0.95 < time.monotonic() - begun < 1 + MARGIN
            assert silent.rest() == b""
            assert 0.95 < time.monotonic() - begun < 1 + MARGIN
            answered = time.monotonic()
            clock.set_by(0)
            assert late.rest() == b""
            assert 0.95 < time.monotonic() - answered < 1 + MARGIN
        assert_stops(running)


def test_what_is_told_follows_the_clock(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with daemon(f"-messagesFile={path}", **clock.options) as running:
        told = []
        for shift in (0, -HOUR, HOUR):
            clock.set_by(shift)
            assert_serves(running)
            told.append(stamp_of(running, "SMTP session finished"))
        assert_stops(running)
    received = [datetime.fromisoformat(record["received_at"]).timestamp() for record in records(path)]
    for first, back, forward in (told, received):
        assert abs(back - first + HOUR) < MARGIN
        assert abs(forward - first - HOUR) < MARGIN


def stamp_of(running: Daemon, text: str) -> float:
    """The time of the next line that says so."""
    assert running.process.stdout is not None
    for line in running.process.stdout:
        if text.encode() in line:
            found = re.search(STAMP, line.decode())
            assert found is not None
            return datetime.strptime(found[0], "%Y/%m/%d %H:%M:%S").astimezone().timestamp()
    pytest.fail(f"no line says {text}")
