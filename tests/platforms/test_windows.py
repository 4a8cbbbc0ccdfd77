"""Windows, where there is Wine: the archive's program starts, and a part of this suite passes with Windows' Python.

All of the suite is ``script/test-windows``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frozen.archives import assert_starts, unpack
from tests.frozen.building import BuildError, environment, older_than_sources, run
from tests.helpers import PATIENCE, ROOT

ARCHIVE = ROOT / "dist/smtpmock_Windows_x86_64.zip"
WINE = {"WINEPREFIX": str(ROOT / "build/windows/prefix"), "WINEDEBUG": "-all"}
QUICK = "tests/platforms/windows-quick.txt"
QUICK_LIMIT = 600.0
"""Seconds; on an idle machine it takes a fraction."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Wine is for Linux; on Windows, the suite itself runs")


@pytest.fixture(scope="module")
def archive() -> Path:
    """Windows' archive, of these sources."""
    if shutil.which("wine") is None:
        pytest.skip("wine is missing: script/tools installs it")
    if not ARCHIVE.exists() or older_than_sources(ARCHIVE):
        try:
            run(["sh", "script/build-windows"], ROOT, environment())
        except BuildError as error:
            pytest.fail(str(error), pytrace=False)
    return ARCHIVE


def test_the_archives_program_starts(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    assert_starts("wine", tmp_path / "smtpmock.exe", env=os.environ | WINE)


def test_it_is_what_git_bash_downloads(archive: Path, tmp_path: Path) -> None:
    """As far as Git Bash can be had here: its uname, a POSIX shell, unzip and curl."""
    if not all(map(shutil.which, ("unzip", "curl"))):
        pytest.skip("unzip or curl is missing: script/tools installs them")
    site = tmp_path / "latest/download"
    site.mkdir(parents=True)
    shutil.copy(archive, site)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    # With the mark of a binary file, as Git for Windows' sha256sum writes it.
    (site / "checksums.txt").write_text(f"{checksum} *{archive.name}\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uname").write_text("#!/bin/sh\n[ $1 = -m ] && echo x86_64 || echo MINGW64_NT-10.0-22631\n")
    (tools / "uname").chmod(0o755)
    folder = tmp_path / "a folder"
    folder.mkdir()
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "SMTPMOCK_URL": f"file://{tmp_path}"}
    script = ROOT / "script/download.sh"
    done = subprocess.run(["sh", script], cwd=folder, env=env, capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(path.name for path in folder.iterdir()) == ["smtpmock-files", "smtpmock.exe"]
    assert_starts("wine", folder / "smtpmock.exe", env=os.environ | WINE)


def test_a_part_of_the_suite_passes(archive: Path) -> None:
    done = subprocess.run(
        ["sh", "script/test-windows", "-q", f"@{QUICK}"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=QUICK_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* passed", done.stdout, re.MULTILINE)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """What both scripts run."""
    command = [sys.executable, "packaging/windows.py", "-V"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"wine is missing; script/tools installs it .*: apt-get install wine wine64\n", done.stderr)
