"""The GitHub action: its script, run as a runner runs it, with this checkout as the released program."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import unix
from tests.helpers import PATIENCE, ROOT, free_port

from .release import Release

pytestmark = pytest.mark.skipif(os.name == "nt", reason="release.yml tries the action on Windows")

ACTION = ROOT / ".github/actions/smtpmock"
PROGRAM = f"""#!/bin/sh
PYTHONPATH='{ROOT}' exec '{sys.executable}' -m smtpmock_cli "$@"
"""


def action() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(ACTION / "action.yml")
    return loaded


def step() -> dict[str, Any]:
    """Its only step."""
    (only,) = action()["runs"]["steps"]
    return dict(only)


class Runner:
    """Runs the action's step, and ends what that leaves behind."""

    def __init__(self, folder: Path, release: Release) -> None:
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("bash is missing")
        self.script = folder / "step.sh"
        self.script.write_text(step()["run"])
        self.temp = folder / "temp"
        self.temp.mkdir()
        self.output = folder / "output"
        self.output.touch()
        # As GitHub does for `shell: bash`.
        self._command = [bash, "--noprofile", "--norc", "-eo", "pipefail", str(self.script)]
        self._environment = {
            "PATH": os.environ["PATH"],
            "SMTPMOCK_URL": release.url,
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_OUTPUT": str(self.output),
            "RUNNER_TEMP": str(self.temp),
        }
        self._groups: list[int] = []

    def run(self, *, version: str = "latest", flags: str = "", port: str = "0") -> tuple[int, str]:
        """Exit code and output."""
        environment = {**self._environment, "VERSION": version, "FLAGS": flags, "PORT": port}
        with subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as running:
            self._groups.append(running.pid)
            output, _ = running.communicate(timeout=PATIENCE)
        return running.returncode, output

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())

    def end(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                unix.os.killpg(group, unix.signal.SIGKILL)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Release() as release:
        release.publish(program=PROGRAM)
        release.publish(
            "2.6.0", program="#!/bin/sh\necho 'INFO: SMTP mock server started on port: 26'; exec sleep 60\n"
        )
        made = Runner(tmp_path, release)
        try:
            yield made
        finally:
            made.end()


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock, sock.makefile("rb") as file:
        return file.readline()


def test_it_listens_where_it_says(runner: Runner) -> None:
    code, output = runner.run()
    assert code == 0, output
    outputs = runner.outputs()
    assert sorted(outputs) == ["log", "port"]
    with smtplib.SMTP("127.0.0.1", int(outputs["port"]), "example.com", PATIENCE) as client:
        client.sendmail("a@example.com", "b@example.com", "Subject: hi\n\nHello")
    log = Path(outputs["log"])
    assert log.is_relative_to(runner.temp)
    assert "354 Ready for receive message" in log.read_text("utf-8")


def test_it_takes_the_port_that_it_is_told(runner: Runner) -> None:
    port = free_port()
    code, output = runner.run(port=str(port))
    assert code == 0, output
    assert runner.outputs()["port"] == str(port)
    assert greeting(port) == b"220 Welcome\r\n"


def test_it_leaves_no_session_in_the_log(runner: Runner) -> None:
    runner.run()
    assert len(Path(runner.outputs()["log"]).read_text("utf-8").splitlines()) == 1


def test_it_takes_the_version_that_it_is_told(runner: Runner) -> None:
    code, output = runner.run(version="2.6.0")
    assert code == 0, output
    assert runner.outputs()["port"] == "26"


def test_two_can_run(runner: Runner) -> None:
    for _ in range(2):
        code, output = runner.run()
        assert code == 0, output


@pytest.mark.parametrize(
    ("flags", "greeted"),
    [
        ("'-msgGreeting=220 Hello there' -failFast", "220 Hello there"),
        ('-failFast\n"-msgGreeting=220 It\'s me"\n', "220 It's me"),
        ("  -log=false  -msgGreeting=220\\ Hello  ", "220 Hello"),
        ("'-msgGreeting=220 $(touch made) `touch made` $HOME *'", "220 $(touch made) `touch made` $HOME *"),
        ("-msgGreeting=220;touch<made", "220;touch<made"),
    ],
)
def test_flags(runner: Runner, flags: str, greeted: str) -> None:
    code, output = runner.run(flags=flags)
    assert code == 0, output
    assert greeting(int(runner.outputs()["port"])) == greeted.encode() + b"\r\n"
    assert not list(runner.temp.rglob("made"))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"flags": "-noSuchFlag"}, "flag provided but not defined: -noSuchFlag"),
        ({"flags": "word"}, "unexpected argument: word"),
        ({"flags": "'-msgGreeting=220"}, "quote"),
        ({"port": "x; touch made"}, 'invalid value "x; touch made" for flag -port'),
        ({"version": "9.9.9"}, "is there a release '9.9.9'?"),
    ],
)
def test_failure_says_why(runner: Runner, inputs: dict[str, str], said: str) -> None:
    code, output = runner.run(**inputs)
    assert code != 0
    assert said in output
    assert runner.outputs() == {}
    assert not list(runner.temp.rglob("made"))


def test_port_of_another_program(runner: Runner) -> None:
    """It answers, but not as smtpmock."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, output = runner.run(port=str(other.getsockname()[1]))
    assert code == 1
    assert "It did not start; its log is above." in output
    assert "Failed to start SMTP mock server on port" in output


def test_inputs_come_by_the_environment() -> None:
    """What is inserted into a script could be more than a value."""
    assert "${{" not in step()["run"]
    assert step()["env"] == {
        "VERSION": "${{ inputs.version }}",
        "FLAGS": "${{ inputs.flags }}",
        "PORT": "${{ inputs.port }}",
    }
    assert {name: given["default"] for name, given in action()["inputs"].items()} == {
        "version": "latest",
        "flags": "",
        "port": "2525",
    }
