from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from . import building
from .archives import archive_of


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> Path:
    """The frozen program: what the variable SMTPMOCK_PROGRAM names, or what script/build makes of these sources."""
    named = os.environ.get("SMTPMOCK_PROGRAM")
    if named:
        if not Path(named).is_file():
            pytest.fail(f"SMTPMOCK_PROGRAM names no file: {named}")
        return Path(named).absolute()
    reason = building.outdated()
    if reason:
        obstacle = building.obstacle()
        if obstacle:
            pytest.skip(obstacle)
        capture = request.config.pluginmanager.getplugin("capturemanager")
        assert capture is not None
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{reason}: running script/build, which takes a minute or so\n")
            sys.stdout.flush()
        try:
            building.build()
        except building.BuildError as error:
            pytest.fail(str(error), pytrace=False)
    return building.DIST / building.NAME


@pytest.fixture
def archive(program: Path) -> Path:
    """The program's archive, beside it or in ``dist/``."""
    name = archive_of(program)
    made = [path for folder in (program.resolve().parent, building.DIST) if (path := folder / name).is_file()]
    if not made and "SMTPMOCK_PROGRAM" in os.environ:
        pytest.skip(f"{name} is not beside the program that SMTPMOCK_PROGRAM names")
    return made[0]


@pytest.fixture
def on_path(program: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which ``smtpmock`` is the program, by a link, as an installation makes it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "smtpmock").symlink_to(program)
    return {**os.environ, "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])}
