"""Every seed through every target; a bounded run of each by atheris; and that a run finds what there is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fuzz import __main__ as command
from tests.fuzz import planted, runs
from tests.fuzz.targets import MODULES, load

EXECUTIONS = {
    "guard": 20_000,
    "query": 5000,
    "session": 1500,
    "grammar": 20_000,
    "body": 2000,
    "http": 1000,
    "mail": 500,
    "rules": 1500,
    "auth": 1500,
}
"""The seeds count too. All runs together take some 20 seconds of one processor, most of it for instrumenting."""
SECONDS = 40
VARIATIONS = 2
"""How often each seed is also played with bytes of it changed."""


@pytest.fixture
def atheris() -> None:
    """Skips where a run by coverage is not possible."""
    if not runs.is_possible():
        pytest.skip(runs.MISSING)


def varied(seed: bytes, random_: random.Random) -> bytes:
    """The seed with some bytes dropped, doubled or made others."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(data) + 1)
        data[at : at + random_.randint(0, 2)] = random_.choice((b"", b"\r\n", random_.randbytes(1), data[at : at + 9]))
    return bytes(data)


@pytest.mark.parametrize("name", MODULES)
def test_every_seed(name: str) -> None:
    target = load(MODULES[name])
    random_ = random.Random(name)
    for seed in target.seeds():
        for data in (seed, *(varied(seed, random_) for _ in range(VARIATIONS))):
            try:
                target.check(data)
            except Exception as error:
                raise AssertionError(f"{name} fails on {data!r}") from error


@pytest.mark.parametrize("name", MODULES)
def test_no_input_is_too_short(name: str) -> None:
    for length in range(6):
        load(MODULES[name]).check(b"\1" * length)


@pytest.mark.usefixtures("atheris")
@pytest.mark.parametrize("name", MODULES)
def test_a_bounded_run(name: str, tmp_path: Path) -> None:
    run = runs.fuzz(name, EXECUTIONS[name], SECONDS, tmp_path, seed=1)
    said = (tmp_path / name / "output.txt").read_text("utf-8", "replace")
    assert run.finding is None, said
    assert run.executions >= EXECUTIONS[name], said
    assert run.features > 50, "nothing of the package is instrumented"
    assert list((tmp_path / name / "corpus").iterdir())


@pytest.mark.usefixtures("atheris")
def test_a_fault_is_found_told_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "planted", planted.__name__)
    monkeypatch.setattr(runs, "CACHE", tmp_path)
    bounds = ("--executions", "200000", "--seconds", str(SECONDS), "--seed", "1")
    ended = CliRunner().invoke(command.main, ["planted", *bounds])
    assert ended.exit_code == 1, ended.output
    (found,) = (tmp_path / "planted/findings").iterdir()
    assert found.read_bytes().startswith(planted.FAULT)
    assert f"script/fuzz planted --replay {found}" in ended.output
    replayed = CliRunner().invoke(command.main, ["planted", "--replay", str(found)])
    assert replayed.exit_code == 1
    assert str(replayed.exception).startswith("the planted fault")


@pytest.mark.usefixtures("atheris")
def test_a_run_that_breaks_off_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "planted", planted.__name__)
    monkeypatch.setattr(runs, "MEMORY_LIMIT", 1)
    run = runs.fuzz("planted", 1_000_000, SECONDS, tmp_path, seed=1)
    assert run.finding is not None


def test_without_atheris_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "is_possible", lambda: False)
    ended = CliRunner().invoke(command.main, ["body"])
    assert ended.exit_code == 1
    assert "script/test tests/fuzz" in ended.output


def test_an_unknown_target_is_refused() -> None:
    ended = CliRunner().invoke(command.main, ["telnet"])
    assert ended.exit_code == 2
    assert "no such target: telnet; there are session, grammar" in ended.output
