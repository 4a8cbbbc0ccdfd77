"""Windows, where there is Wine: the archive's program starts, and a part of this suite passes with Windows' Python.

All of the suite is ``script/test-windows``.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.frozen.archives import assert_starts, unpack
from tests.frozen.building import BuildError, environment, older_than_sources, run
from tests.helpers import ROOT

PREFIX = ROOT / "build/windows/prefix"
ARCHIVE = ROOT / "dist/smtpmock_Windows_x86_64.zip"
WINE = {"WINEPREFIX": str(PREFIX), "WINEDEBUG": "-all"}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Wine is for Linux here; on Windows, this suite itself runs"),
    pytest.mark.skipif(shutil.which("wine") is None, reason="wine is missing: script/tools installs it"),
]


def made_by(*command: str) -> None:
    try:
        run(command, ROOT, environment())
    except BuildError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def archive() -> Path:
    """Windows' archive, of these sources."""
    if not ARCHIVE.exists() or older_than_sources(ARCHIVE):
        made_by("sh", "script/build-windows")
    return ARCHIVE


def test_the_archives_program_starts(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    assert_starts("wine", tmp_path / "smtpmock.exe", env=os.environ | WINE)
