"""What the build of the archive for Linux says where it can't be made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frozen.processes import linux
from tests.helpers import PATIENCE, ROOT

pytestmark = linux


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for the only tools that there are."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "dpkg-query"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is missing: this is neither Debian nor Ubuntu")
        (folder / name).symlink_to(found)
    return folder


def compiler(tools: Path, script: str) -> None:
    (tools / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "cc").chmod(0o755)


def said(program: str, tools: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "packaging" / program)]
    return subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=PATIENCE)


def lacks_static_library(tools: Path) -> None:
    compiler(tools, 'case " $* " in *" -static "*) exit 1 ;; esac')


def lacks_compiler(tools: Path) -> None:
    """As the fixture leaves it."""


def lacks_dpkg(tools: Path) -> None:
    compiler(tools, "exit 0")
    (tools / "dpkg-query").unlink()


@pytest.mark.parametrize(
    ("lacks", "text"),
    [
        (lacks_compiler, "a C compiler is missing: install gcc and libc6-dev"),
        (lacks_static_library, "the static C library is missing: install libc6-dev"),
        (lacks_dpkg, "dpkg is missing: the archive is built on Debian or Ubuntu"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_made(tools: Path, lacks: object, text: str) -> None:
    """By the build, which fails, and to the tests, which leave the frozen program out in these words."""
    assert callable(lacks)
    lacks(tools)
    asked = said("linux.py", tools)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith(text)
    built = said("build.py", tools)
    assert (built.returncode, built.stdout, built.stderr) == (1, "", asked.stdout + "\n")


def test_nothing_is_missing_where_there_is_a_compiler(tools: Path) -> None:
    compiler(tools, "exit 0")
    assert said("linux.py", tools).stdout == ""


def test_a_component_without_a_licence_ends_the_build(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.path.insert(0, "packaging")
import licenses
licenses.write(Path(sys.argv[1]), {"libx.so": [licenses.ours(), licenses.of_file(Path("/lib/libx.so"))]})
"""
    command = [sys.executable, "-c", code, str(tmp_path / "licenses")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("No licence of libx.so is installed")


def test_a_file_that_was_diverted_has_its_package(tools: Path) -> None:
    """As the loader of Debian 13."""
    (tools / "dpkg-query").unlink()
    diverted = "diversion by libc6 from: /lib64/ld.so\ndiversion by libc6 to: /lib64/ld.so.usr-is-merged"
    (tools / "dpkg-query").write_text(f"#!/bin/sh\necho '{diverted}\nlibc6:amd64: /lib64/ld.so'\n")
    (tools / "dpkg-query").chmod(0o755)
    code = "import sys; sys.path.insert(0, 'packaging'); import licenses; print(licenses.owner('/lib64/ld.so'))"
    command = [sys.executable, "-c", code]
    env = {"PATH": str(tools)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("libc6\n", "")
