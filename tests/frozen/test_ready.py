"""``-ready`` and settings by environment in the frozen program, as a container has them: no arguments, no shell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.certificates import Certificate
from tests.helpers import PATIENCE, ROOT, daemon, free_port
from tests.test_ready import BARE, BUSY, seconds, silent

from .processes import run


def test_a_server_and_its_probe_by_one_environment(program: Path, tmp_path: Path) -> None:
    ports = tmp_path / "ports.json"
    settings = {"HOST": "0.0.0.0", "PORT": "0", "HTTP_HOST": "0.0.0.0", "HTTP_PORT": "0", "PORT_FILE": str(ports)}
    environment = os.environ | {f"SMTPMOCK_{name}": value for name, value in settings.items()}

    def probe() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "-ready"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )

    before = probe()
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr == f"not ready: port file {ports}: no such file or directory\n"
    with daemon("-httpNames=smtpmock", program=[str(program)], port=free_port(), env=environment):
        url = f"http://127.0.0.1:{json.loads(ports.read_text())['http']}/readyz"
        urlopen(url, timeout=PATIENCE).close()  # the first request has the HTTP side loaded, which may take longer
        done = probe()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ready: {url}\n", "")


@pytest.mark.native
@pytest.mark.parametrize("flags", [[], ["-host=::"], ["-tlsCert=CERT", "-tlsMode=implicit"]], ids=str)
def test_a_greeting(program: Path, flags: list[str], certificate: Certificate) -> None:
    given = [flag.replace("CERT", certificate.both) for flag in flags]
    with daemon(*given, program=[str(program)]) as running:
        done = run(program, "-ready", f"-port={running.port}", *given)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ready: {'smtps' if len(flags) == 2 else 'smtp'}://127.0.0.1:{running.port}\n"


@pytest.mark.native
def test_the_whole_program_takes_less_than_a_second(program: Path) -> None:
    with silent() as port:
        assert "no greeting within" in run(program, "-ready", f"-port={port}").stderr
        taken = min(seconds(str(program), "-ready", f"-port={port}") for _ in range(3))
    if taken >= 1 and (bare := seconds(*BARE)) > BUSY:
        pytest.skip(f"too busy a machine: the bare interpreter takes {bare * 1000:.0f} ms, this {taken * 1000:.0f}")
    assert taken < 1


def test_a_wrong_variable(program: Path) -> None:
    done = subprocess.run(
        [program, "-ready"],
        cwd=ROOT,
        env=os.environ | {"SMTPMOCK_HTTP_PORT": "80 25"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    line = 'invalid value "80 25" for variable SMTPMOCK_HTTP_PORT: must be an integer\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
