"""What no other test runs: workflows, actions, shell scripts and the Dockerfile, checked as far as tools can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.helpers import PATIENCE, ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
SCRIPTS = [
    path
    for path in sorted([*(ROOT / "script").iterdir(), ROOT / ".ci/run"])
    if path.read_bytes()[:10] == b"#!/bin/sh\n"
]
DOCKERFILE = ROOT / "packaging/Dockerfile"


def tool(name: str) -> str:
    """A tool of this environment, whether that is on the PATH or not, or else one of the PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip(f"{name} is missing: no wheel of it for this platform")
    return found


def passes(*command: str | Path, text: str | None = None) -> None:
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WORKFLOWS, ids=relative)
def test_workflow(path: Path) -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", path)


@pytest.mark.parametrize("path", ACTIONS, ids=relative)
def test_action(path: Path) -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.github-actions", path)


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_script(path: Path) -> None:
    # -x: what it sources, too; they all source from the project's root.
    passes(tool("shellcheck"), "-x", "-s", "sh", relative(path))


def steps_in(node: Any) -> list[str]:
    """Every shell script in a workflow or an action."""
    if isinstance(node, dict):
        own = [node["run"]] if isinstance(node.get("run"), str) else []
        return own + [script for value in node.values() for script in steps_in(value)]
    return [script for value in node for script in steps_in(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("path", WORKFLOWS + ACTIONS, ids=relative)
def test_steps(path: Path) -> None:
    steps = steps_in(YAML(typ="safe").load(path))
    assert steps
    for script in steps:
        # Values come by the environment, where they stay values.
        assert "${{" not in script
        passes(tool("shellcheck"), "-x", "-s", "bash", "-", text=script)


def test_a_release_first_of_all_starts_the_program_of_each_archive() -> None:
    jobs = YAML(typ="safe").load(ROOT / ".github/workflows/release.yml")["jobs"]
    steps = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    after_build = steps[steps.index("script/build") + 1]
    assert after_build.endswith("pytest tests/frozen/test_all_archives.py\n")
    assert "build" in jobs["checksums"]["needs"]
    assert not any("if" in step for step in jobs["build"]["steps"] if step.get("run") == after_build)


def test_the_frozen_tests_begin_with_it() -> None:
    assert min(path.name for path in (ROOT / "tests/frozen").glob("test_*.py")) == "test_all_archives.py"


def test_nobody_sets_a_secret() -> None:
    for path in WORKFLOWS + ACTIONS:
        assert "secrets." not in path.read_text("utf-8")


def test_dockerfile() -> None:
    passes(tool("hadolint"), DOCKERFILE)
