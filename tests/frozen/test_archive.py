"""One archive for every Linux: where its program runs, and what it says where it can't."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.test_cli import STAMP

from .processes import assert_serves, linux, run

pytestmark = linux


@pytest.fixture
def copied(program: Path, tmp_path: Path) -> Path:
    """The program and its folder elsewhere, to be taken apart."""
    return copy(program, tmp_path / "copy")


def copy(program: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copytree(program.resolve().with_name("smtpmock-files"), folder / "smtpmock-files", symlinks=True)
    return Path(shutil.copy(program, folder))


@pytest.mark.parametrize("name", ["a b", "a:b", "a;b", "a$b", "a%sb", "new\nline", "\\", "\udcff\udcfe"], ids=ascii)
def test_its_folder_may_have_any_name(program: Path, tmp_path: Path, name: str) -> None:
    assert_serves(copy(program, tmp_path / name))


def test_a_program_without_its_folder_says_where_it_looked(copied: Path) -> None:
    shutil.rmtree(copied.with_name("smtpmock-files"))
    done = run(copied, "-v")
    places = f"{copied.parent}/smtpmock-files nor {copied.parent}/../lib/smtpmock-files"
    said = f"Failed to start SMTP mock server: the folder smtpmock-files is missing: it is neither {places}\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"{STAMP} {re.escape(said)}", done.stderr)


def test_as_bin_and_lib(copied: Path, tmp_path: Path) -> None:
    for folder in ("bin", "lib"):
        (tmp_path / "prefix" / folder).mkdir(parents=True)
    copied.with_name("smtpmock-files").rename(tmp_path / "prefix/lib/smtpmock-files")
    assert_serves(copied.rename(tmp_path / "prefix/bin/smtpmock"))


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_DEBUG", "LD_TRACE_LOADED_OBJECTS"])
def test_variables_of_the_loader_do_no_harm(program: Path, tmp_path: Path, name: str) -> None:
    """They are the caller's, for the caller's C library."""
    for library in ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libz.so.1", "hostile.so"):
        (tmp_path / library).write_bytes(b"")
    value = {"LD_LIBRARY_PATH": str(tmp_path), "LD_DEBUG": "all"}.get(name, str(tmp_path / "hostile.so"))
    plain = run(program, "-v")
    hostile = run(program, "-v", env=os.environ | {name: value})
    assert (hostile.returncode, hostile.stdout, hostile.stderr) == (0, plain.stdout, "")
