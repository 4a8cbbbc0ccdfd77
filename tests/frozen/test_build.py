"""What script/build leaves in dist/: small, nothing that is not needed, and the same each time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers import PATIENCE, ROOT

from . import building
from .archives import unpack
from .processes import assert_serves, run

ARCHIVE_LIMIT, FOLDER_LIMIT = 14_000_000, 40_000_000
"""Bytes, for what a release is built with: Debian 12's Python and libraries."""
BORROWED, RATIO = 16_700_000, 0.45
"""Bytes of these alone, and what part of them is left when they are packed; those of other systems may be larger."""
NEEDLESS = re.compile(r"(lib)?(bz2|lzma)|_(bz2|lzma|zstd)")
"""Compression, by the names of its files; libzstd is some OpenSSLs'."""
FOREIGN_FUNCTIONS = re.compile(r"(lib)?ffi|_ctypes")
"""On Windows alone, where each start needs them for the console."""


@pytest.fixture
def folder(program: Path) -> Path:
    return program.resolve().with_name("smtpmock-files")


def test_the_program_and_its_folder_are_small(program: Path, folder: Path) -> None:
    files = [program, *(path for path in folder.rglob("*") if path.is_file())]
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(sizes.values()) <= FOLDER_LIMIT + surplus(folder), sorted(sizes.items(), key=lambda item: -item[1])[:10]


def test_the_archive_is_small(archive: Path, folder: Path) -> None:
    assert archive.stat().st_size <= ARCHIVE_LIMIT + RATIO * surplus(folder)


def surplus(folder: Path) -> int:
    """By how many bytes this system's libraries are larger than those of a release."""
    borrowed = sum(path.stat().st_size for path in folder.glob("l*.so.*"))  # lib*, and the loader
    return max(0, borrowed - BORROWED)


def test_nothing_is_in_it_that_is_not_needed(program: Path, folder: Path) -> None:
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert [name for name in names if NEEDLESS.match(name)] == []
    assert any(map(FOREIGN_FUNCTIONS.match, names)) == (program.suffix == ".exe")


def test_what_is_unpacked_elsewhere_runs(program: Path, archive: Path, tmp_path: Path) -> None:
    assert re.fullmatch(r"smtpmock_(Linux|Darwin|Windows)_(x86_64|arm64)\.(tar\.gz|zip)", archive.name)
    unpack(archive, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([program.name, "smtpmock-files"])
    whole = checksums(program.resolve().parent)
    assert checksums(tmp_path) == {name: sums for name, sums in whole.items() if not name.startswith("smtpmock_")}
    assert_serves(tmp_path / program.name)
    assert run(tmp_path / program.name, "-v").stdout == run(program, "-v").stdout


@pytest.mark.native
def test_two_builds_of_one_commit_are_the_same(tmp_path: Path) -> None:
    need_pyinstaller()
    first = copy_of_sources(tmp_path / "a")
    second = tmp_path / "another folder" / "b"
    shutil.copytree(first, second)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build_in, [first, second]))
    one, other = checksums(first / "dist"), checksums(second / "dist")
    assert building.NAME in one
    assert sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)) == []
    assert re.search(r"^commit: [0-9a-f]{40}$", run(first / "dist" / building.NAME, "-v").stdout, re.MULTILINE)


def need_pyinstaller() -> None:
    obstacle = building.obstacle() or ("" if shutil.which("git") else "git is missing: install it")
    obstacle = obstacle or ("" if (ROOT / ".git").exists() else "this tree is not git's: nothing tells its sources")
    if obstacle:
        pytest.skip(obstacle)
    if importlib.util.find_spec("PyInstaller") is None:
        building.run(["sh", "-c", "extras=build; . script/environment"], ROOT, building.environment())
        importlib.invalidate_caches()
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip(f"{sys.prefix}, which the tests run from, has no PyInstaller, and is not the project's .venv")


def copy_of_sources(to: Path) -> Path:
    """A repository whose one commit is this tree as it is, changes and all."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    git(to, "init", "--quiet")
    git(to, "add", "--all")
    git(to, "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=All")
    return to


def git(folder: Path, *arguments: str) -> str:
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=building.environment() | (settings if folder != ROOT else {}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout


def build_in(tree: Path) -> None:
    """What script/build runs, in the environment that is there; each build has a cache of its own, still empty."""
    cache = tree.with_name(tree.name + " cache")
    env = building.environment() | {"PYINSTALLER_CONFIG_DIR": str(cache)}
    building.run([sys.executable, "packaging/build.py"], tree, env)


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, with its permissions."""
    return {
        path.relative_to(folder).as_posix(): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
