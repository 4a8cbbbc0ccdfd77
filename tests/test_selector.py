"""The suite with select(), as on Windows: some of it here, all of it by ``python -m pytest --selector=select``."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.helpers import ROOT

SOME = ("tests/net/test_loop.py", "tests/control/test_http.py", "tests/test_server.py", "tests/test_bounds.py")
LONGEST = 300.0
"""Seconds; on an idle machine it takes some 30."""


@pytest.fixture
def _not_within_itself(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--selector"):
        pytest.skip("this is a run with select()")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has nothing but select()")
@pytest.mark.usefixtures("_not_within_itself")
def test_what_concerns_sockets_passes_with_select() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--selector=select", *SOME],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[1-9]\d* passed", done.stdout, re.MULTILINE)


REPLACED = "import selectors; assert selectors.DefaultSelector is selectors.SelectSelector"


def test_the_option_reaches_processes_too(request: pytest.FixtureRequest) -> None:
    """Else the run would prove nothing."""
    done = subprocess.run([sys.executable, "-c", REPLACED], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode == 0) == (request.config.getoption("--selector") == "select" or sys.platform == "win32")
