"""What no other test runs: workflows, actions, shell scripts and the Dockerfile, checked as far as tools can."""

from __future__ import annotations

import json
import os
import re
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


def test_nobody_sets_a_secret() -> None:
    for path in WORKFLOWS + ACTIONS:
        assert "secrets." not in path.read_text("utf-8")


def test_dockerfile() -> None:
    passes(tool("hadolint"), DOCKERFILE)


def health_check() -> list[str]:
    found = re.search(r"HEALTHCHECK .*\\\n *CMD (\[.*\])\n", DOCKERFILE.read_text("utf-8"))
    assert found
    words: list[str] = json.loads(found[1])
    return words


LISTENING = """
import fcntl, socket, struct, subprocess, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the network's loopback is down at first
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
sockets = []
if sys.argv[1]:
    sockets.append(socket.create_server((sys.argv[1], int(sys.argv[2])), family=family))
    if sys.argv[1] != "127.0.0.11":
        sockets.append(socket.create_connection(sockets[0].getsockname()[:2]))
        sockets.append(sockets[0].accept()[0])
code = subprocess.call(sys.argv[3:])
[sock.close() for sock in sockets]
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("address", "port", "code"),
    [
        ("", "0", 1),
        ("0.0.0.0", "2525", 0),
        ("0.0.0.0", "3025", 0),
        ("127.0.0.1", "2525", 0),
        ("::", "2525", 0),
        ("127.0.0.11", "40000", 1),  # Docker's name server
    ],
)
def test_health_check(address: str, port: str, code: int) -> None:
    """In a network of its own, as a container has one."""
    alone = [shutil.which("unshare") or "", "--user", "--map-root-user", "--net"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    command = [*alone, sys.executable, "-c", LISTENING, address, port, *health_check()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
