"""The wheel and the source distribution: built, installed into an empty environment, run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from smtpmock_cli.version import VERSION
from tests.helpers import ROOT, Daemon

BUILD_LIMIT = 300.0
"""Seconds for a step that may have to fetch what it needs."""


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    if importlib.util.find_spec("build.__main__") is None:
        pytest.skip("build is missing: pip install build")
    folder = tmp_path_factory.mktemp("distribution")
    run(sys.executable, "-m", "build", "--outdir", folder)
    return folder


def only(found: Sequence[Path]) -> Path:
    assert len(found) == 1
    return found[0]


def test_the_wheel_runs_where_nothing_else_is(built: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path)
    programs = tmp_path / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", only(list(built.glob("*.whl"))))
    assert run(programs / "smtpmock", "-v").startswith(f"smtpmock: {VERSION}\n")
    with Daemon(program=[str(programs / "smtpmock")]) as running:
        running.wait_until_listening()
        with running.client() as client:
            assert client.ask(b"NOOP\r\n") == "250 Ok"


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(only(list(built.glob("*.whl")))) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {"smtpmock_cli", f"smtpmock_cli-{VERSION}.dist-info"}
    assert "smtpmock_cli/py.typed" in names


def test_the_sdist_can_be_tested(built: Path) -> None:
    with tarfile.open(only(list(built.glob("*.tar.gz")))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "script/test", "tests/conformance/sessions.json"} <= names
    assert {"benchmarks/__main__.py", "packaging/smtpmock.spec", ".github/CONTRIBUTING.md"} <= names
