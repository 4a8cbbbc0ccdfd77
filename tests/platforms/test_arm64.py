"""arm64, where qemu emulates it: the archive is made, and a part of the frozen tests passes on its program.

All of them is ``script/test-arm64``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.frozen.building import BuildError, environment, run
from tests.helpers import PATIENCE, ROOT

SCRIPT = str(ROOT / "packaging/arm64.py")
ARCHIVE = ROOT / "dist/smtpmock_Linux_arm64.tar.gz"
LIMIT = 1800.0
"""Seconds that a build may take; an idle machine takes three minutes for the first one."""
SUBSET = {
    "test_frozen.py": [
        "test_version_tells_the_commit_and_the_time_of_the_build",
        "test_errors_are_the_same_text",
        "test_messages_by_http_and_in_a_file",
        "test_smtplib",
        "test_a_signal_stops_it",
        "test_it_is_one_process_and_leaves_nothing_behind",
    ],
    "test_extensions.py": ["test_tls_and_auth", "test_hundreds_of_rules"],
    "test_ready.py": ["test_a_server_and_its_probe_by_one_environment"],
}
"""What is most likely to differ on another processor: streams, signals, processes, TLS, the C library."""
MACHINE = slice(18, 20)
"""Of an ELF file: the processor."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="arm64 is emulated on Linux only")


def say(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What packaging/arm64.py does, and says."""
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def archive() -> Path:
    """The archive, of these sources."""
    obstacle = say("obstacle").stdout
    if obstacle:
        pytest.skip(obstacle)
    try:
        run([sys.executable, SCRIPT, "update"], ROOT, environment(), LIMIT)
    except BuildError as error:
        pytest.fail(str(error), pytrace=False)
    return ARCHIVE


def test_the_archive_is_arm64s(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        programs = {member.name: packed.extractfile(member) for member in packed.getmembers()}
        heads = {name: content.read(20) for name, content in programs.items() if content is not None}
    machines = {name: head[MACHINE] for name, head in heads.items() if head.startswith(b"\x7fELF")}
    assert {"smtpmock", "smtpmock-files/smtpmock", "smtpmock-files/ld-linux-aarch64.so.1"} <= set(machines)
    assert set(machines.values()) == {b"\xb7\0"}


def test_the_program_passes_a_part_of_its_tests(archive: Path) -> None:
    names = [f"tests/frozen/{file}::{name}" for file, names in SUBSET.items() for name in names]
    command = [sys.executable, SCRIPT, "test", "-q", "-p", "no:cacheprovider", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert archive.is_file()
    assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert done.returncode == 0


def test_what_is_killed_leaves_no_process_and_no_mount(archive: Path) -> None:
    assert archive.is_file()
    inside = "subprocess.run(arm64.inside('sh', '-c', 'uname -m; exec sleep 1000'))"
    code = f"import subprocess, sys; sys.path.insert(0, {str(ROOT / 'packaging')!r}); import arm64; {inside}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "aarch64\n"
        assert "build/arm64" not in Path("/proc/self/mounts").read_text()
        process.kill()
        assert process.stdout.read() == "", "ends when the last process that has the pipe has ended"
    assert "build/arm64" not in Path("/proc/self/mounts").read_text()


def test_without_tools_it_says_what_to_install(tmp_path: Path) -> None:
    """As the scripts do, which are the same."""
    for command in ("build", "obstacle"):
        done = say(command, PATH=str(tmp_path))
        said = done.stderr if command == "build" else done.stdout
        assert said.rstrip() == (
            "apt-get is missing; script/tools installs it on Debian and Ubuntu, "
            "as does: apt-get install mmdebstrap qemu-user-static"
        )
