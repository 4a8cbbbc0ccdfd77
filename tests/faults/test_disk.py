"""The messages file on a disk that is full and gets room again: whole lines alone, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import TRANSACTION, Daemon, daemon
from tests.test_cli import posix
from tests.test_files import records

from .observed import BYE

pytestmark = posix

SIZE = 64 * 1024
BODY = b"x" * 7000 + b"\r\n"
"""Of which a few fill the disk, and of whose record a part still fits."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of that size, empty."""
    if sys.platform != "linux":
        pytest.skip("a file system in memory is made as on Linux")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", tmp_path], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a file system in memory is not allowed here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def send(running: Daemon, numbers: range) -> None:
    for number in numbers:
        with running.client() as client:
            client.send(TRANSACTION.replace(b"Hello.\r\n", b"%d " % number + BODY) + b"QUIT\r\n")
            assert client.rest().endswith(b"250 Received\r\n" + BYE)


def numbers(path: Path) -> list[int]:
    """The messages that are in the file."""
    return [record["id"] for record in records(path)]


def test_a_disk_that_gets_room_again(disk: Path) -> None:
    path, ballast = disk / "messages.jsonl", disk / "ballast"
    with daemon(f"-messagesFile={path}") as running:
        ballast.write_bytes(bytes(SIZE // 2))
        send(running, range(10))
        before = numbers(path)
        assert before == list(range(1, len(before) + 1))
        assert 1 <= len(before) < 10
        ballast.unlink()
        send(running, range(3))
        assert numbers(path) == [*before, 11, 12, 13]
        running.process.terminate()
        code, _, errors = running.finish()
    assert (code, errors) == (0, [f"ERROR: write {path}: no space left on device"])


def test_a_file_at_its_limit_that_is_put_aside(tmp_path: Path) -> None:
    """As log rotation does it."""
    import resource

    path = tmp_path / "messages.jsonl"
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (SIZE // 2, SIZE // 2))
    with daemon(f"-messagesFile={path}", preexec_fn=limit) as running:
        send(running, range(10))
        before = numbers(path)
        assert 1 <= len(before) < 10
        path.rename(tmp_path / "messages.1.jsonl")
        send(running, range(2))
        assert numbers(path) == [11, 12]
        assert numbers(tmp_path / "messages.1.jsonl") == before
        running.process.terminate()
        code, _, errors = running.finish()
    assert (code, errors) == (0, [f"ERROR: write {path}: file too large"])
