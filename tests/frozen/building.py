"""Makes the frozen program as script/build does: within a time limit, and only where that can work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.helpers import ROOT

from .archives import own_archive

DIST = ROOT / "dist"
NAME = "smtpmock.exe" if sys.platform == "win32" else "smtpmock"
BUILD_LIMIT = 480.0
"""Seconds that a build may take, with all that pip fetches for the first one."""
_SHOWN = 6000
"""Characters of a failed build's output that a test shows, from its end."""


class BuildError(Exception):
    """A build failed; the text is its output."""


def obstacle() -> str:
    """Why this system cannot build, or nothing."""
    for name, how in {"sh": "a POSIX shell", **({"objcopy": "binutils"} if sys.platform == "linux" else {})}.items():
        if shutil.which(name) is None:
            return f"{name} is missing, and PyInstaller or script/build needs it: install {how}"
    shared = [sysconfig.get_config_var(name) for name in ("Py_ENABLE_SHARED", "PYTHONFRAMEWORK")]
    if sys.platform != "win32" and not any(shared) and not any(Path(sys.base_prefix, "lib").glob("libpython*.*")):
        return f"PyInstaller needs a Python with a shared library; {sys.base_prefix} has none"
    return want_of_launcher() if sys.platform == "linux" else ""


def want_of_launcher() -> str:
    """What script/build would say that it misses to compile the launcher, or nothing."""
    command = [sys.executable, str(ROOT / "packaging" / "linux.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=BUILD_LIMIT, check=True).stdout


def outdated() -> str:
    """Why ``dist/`` has to be built anew, or nothing."""
    made = (DIST / NAME, DIST / own_archive())
    if not all(path.exists() for path in made):
        return "dist/ has no program, or no archive"
    return older_than_sources(*made)


def older_than_sources(*made: Path) -> str:
    """Why what was made is outdated, or nothing."""
    packaging = (path for path in (ROOT / "packaging").iterdir() if path.is_file())
    sources = [*(ROOT / "smtpmock_cli").rglob("*.py"), *packaging, ROOT / "pyproject.toml"]
    newest = max(sources, key=modified)
    if modified(newest) > min(map(modified, made)):
        return f"{newest.relative_to(ROOT)} is newer than dist/"
    return ""


def modified(path: Path) -> float:
    return path.stat().st_mtime


def build() -> None:
    """Run script/build.

    :raises BuildError: it failed, or took too long.
    """
    run(["sh", "script/build"], ROOT, environment())


def environment() -> dict[str, str]:
    """This process's, for a build by this very Python.

    Another one would have ``script/environment`` make ``.venv`` anew, under the tests that run from it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    inherited.pop("SOURCE_DATE_EPOCH", None)
    return inherited | {"PYTHON": sys.executable}


def run(command: Sequence[str], folder: Path, env: Mapping[str, str], limit: float = BUILD_LIMIT) -> None:
    """Run a command; no process of it outlives the time limit.

    :raises BuildError: it failed, or took too long.
    """
    # Not: a pipe, because a child that outlives the time limit would hold it open.
    with tempfile.TemporaryFile() as output:
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=null, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                kill_with_children(process)
        if code == 0:
            return
        output.seek(0)
        said = output.read().decode(errors="replace")[-_SHOWN:]
    ending = f"exit code {code}" if code is not None else f"not done after {limit:.0f} s"
    raise BuildError(f"{' '.join(command)} in {folder}: {ending}\n{said}")


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
