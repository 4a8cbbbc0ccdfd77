"""The soak's short form, and that the soak would notice: a load that cannot fail shows nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.processes import MeasurementError
from smtpmock_cli import Configuration, Rule, Server
from tests.helpers import PATIENCE, ROOT, Client

from . import __main__ as command
from .count import Tally
from .crowd import Ask, Crowd, Part
from .figures import Figure, at_least, at_most, exactly, not_measured, reply_times, show
from .parts import GREETING, OK, QUIT, body

SOAK = (sys.executable, "-m", "tests.soak")
LIMIT = 120.0
"""Seconds that one load's short form may take; they are a few."""


@pytest.mark.parametrize("part", command.PARTS)
def test_the_short_form(part: str) -> None:
    done = subprocess.run([*SOAK, "--quick", part], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| yes " in done.stdout


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc that tells of children")
def test_a_soak_that_is_stopped_leaves_no_process_behind() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([*SOAK, "--quick", "idle"], cwd=ROOT, stdout=pipe, stderr=pipe) as process:
        try:
            server = listening_child(process.pid)
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM, complaints
    assert not Path(f"/proc/{server}").exists()


def listening_child(pid: int) -> int:
    """The process that another has started, once it listens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            port = re.search(rb"-port=(\d+)", Path(f"/proc/{child}/cmdline").read_bytes())
            if port and listens(int(port[1])):
                return int(child)
        time.sleep(0.005)
    raise AssertionError("it starts no process that listens")


def listens(port: int) -> bool:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def terminable() -> Iterator[None]:
    """Leaves to SIGTERM what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminable")
def test_a_bound_that_does_not_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.PARTS, "large", lambda *, quick: [exactly("a load", "messages lost", 1, 0)])
    ended = CliRunner().invoke(command.main, ["large"])
    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[-2:] == ["| a load | messages lost | 1      | exactly 0 | NO    |", ""]


@pytest.mark.usefixtures("terminable")
def test_a_load_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, quick: bool) -> list[Figure]:
        raise MeasurementError("no reply")

    monkeypatch.setitem(command.PARTS, "large", fail)
    ended = CliRunner().invoke(command.main, ["large"])
    assert ended.exit_code == 1
    assert "| failed: no reply |" in ended.stdout


def test_figures_on_both_sides_of_their_bounds() -> None:
    assert at_most("", "", 2.0, 2.0).holds
    assert not at_most("", "", 2.1, 2.0).holds
    assert at_least("", "", 0, 0).holds
    assert not at_least("", "", -1, 0).holds
    assert not exactly("", "", 1, 0).holds
    slow = [0.001] * 98 + [0.1] * 2
    assert not reply_times("", "", slow, "p99", 50, quick=False).holds
    assert reply_times("", "", slow, "p99", 50, quick=True).holds
    assert not reply_times("", "", [0.001] * 999 + [0.1], "max", 50, quick=False).holds


def test_what_is_not_measured_has_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    show([not_measured("a load", "memory", "no /proc"), exactly("a load", "lost", 0, 0)])
    assert [line.split("|")[-2].strip() for line in capsys.readouterr().out.splitlines()[2:4]] == ["", "yes"]


def tally(*records: tuple[int, str]) -> Tally:
    made = Tally()
    for id, request in records:
        made.add({"id": id, "msg_request": request})
    return made


def test_a_tally_knows_what_is_lost_and_what_is_doubled() -> None:
    whole = tally((1, ""), (2, body(1)), (3, body(0)))
    assert (whole.lost(2), whole.doubled()) == (0, 0)
    assert whole.lost(3) == 1
    assert tally((1, body(0)), (2, body(1)[:-2])).lost(2) == 1
    assert tally((1, body(0)), (2, body(0))).doubled() == 1
    assert tally((1, body(0)), (1, body(1))).doubled() == 1


def asking(ask: Ask, taken: list[float]) -> Part:
    yield GREETING
    taken.append((yield ask))
    yield QUIT


def test_a_crowd_takes_the_time_of_each_answer() -> None:
    slow, quick = Rule(on="noop", match="slow", delay=0.5), Ask(b"NOOP\r\n" * 3, (OK,) * 3)
    of_slow: list[float] = []
    of_quick: list[float] = []
    with Server(Configuration(rules=[slow])) as server:
        parts = [asking(Ask(b"NOOP slow\r\n", (OK,)), of_slow), *(asking(quick, of_quick) for _ in range(10))]
        Crowd(server.port_number, parts).play(PATIENCE)
    assert min(of_slow) >= 0.5
    assert max(of_quick) < min(of_slow)
    assert len(of_quick) == 10


@pytest.mark.parametrize(
    ("rule", "limit", "failure"),
    [
        (Rule(on="noop", reply="451 No"), PATIENCE, "answered with b'451 No"),
        (Rule(on="noop", then="close"), PATIENCE, "answered with b''"),
        (Rule(on="noop", then="reset"), PATIENCE, "lost its connection"),
        (Rule(on="noop", then="hang"), 0.3, "1 clients were not done in time"),
    ],
)
def test_a_crowd_fails_where_an_answer_is_wrong_or_missing(rule: Rule, limit: float, failure: str) -> None:
    with Server(Configuration(rules=[rule])) as server:
        crowd = Crowd(server.port_number, [asking(Ask(b"NOOP\r\n", (OK,)), [])])
        with pytest.raises(MeasurementError, match=failure):
            crowd.play(limit)
