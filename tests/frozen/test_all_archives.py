"""The first question to an archive, asked before all others: does its program start?"""

from __future__ import annotations

from pathlib import Path

from .archives import assert_starts, unpack


def test_its_program_starts(archive: Path, program: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    assert_starts(tmp_path / program.name)
