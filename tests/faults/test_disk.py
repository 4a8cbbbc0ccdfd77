"""Messages and log on a disk that is full and gets room again: whole lines alone, and what is missing is said."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests import unix
from tests.helpers import TRANSACTION, Daemon, daemon
from tests.test_cli import LOG_STAMP, STOPPED, connected, posix, wait_for_error, wait_for_line
from tests.test_files import records

from .observed import BYE, MARGIN
from .test_unread_pipe import LINE

pytestmark = posix

FULL = "no space left on device"
SIZE = 64 * 1024
BODY = b"x" * 7000 + b"\r\n"
"""Of which a few fill the disk, and of whose record a part still fits."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of that size, empty."""
    if platform.system() != "Linux":
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
    missing = f"{10 - len(before)} messages are missing"
    assert (code, errors) == (0, [f"ERROR: write {path}: {why}" for why in (FULL, f"possible again, {missing}")])


def test_it_is_said_at_once_each_time_and_without_a_log(disk: Path) -> None:
    path, ballast = disk / "messages.jsonl", disk / "ballast"
    with Daemon(f"-messagesFile={path}", "-log=false") as running, connected(running.port) as client:
        client.end()  # and its message is in the file
        for _ in range(3):
            with suppress(OSError):  # when it is full
                ballast.write_bytes(bytes(SIZE))
            send(running, range(2))
            wait_for_error(running, f"write {path}: {FULL}")
            ballast.unlink()
            send(running, range(1))
            wait_for_error(running, f"write {path}: possible again, 2 messages are missing")
        assert numbers(path) == [1, 4, 7, 10]
        running.process.terminate()
        assert running.finish() == (0, [], [])


def test_what_is_missing_at_the_end_is_said(disk: Path) -> None:
    path, ballast = disk / "messages.jsonl", disk / "ballast"
    with Daemon(f"-messagesFile={path}", "-log=false") as running, connected(running.port) as client:
        client.end()
        with suppress(OSError):  # when it is full
            ballast.write_bytes(bytes(SIZE))
        send(running, range(3))
        wait_for_error(running, f"write {path}: {FULL}")
        running.process.terminate()
        code, _, errors = running.finish()
    assert code == 0
    assert [error.partition(f" write {path}: ")[2] for error in errors] == ["3 messages are missing"]


def test_a_line_that_a_killed_process_has_begun_breaks_no_other(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b'{"id": 1, "received_at": "20')
    with daemon(f"-messagesFile={path}") as running:
        send(running, range(2))
    half, *whole = path.read_bytes().splitlines()
    assert half == b'{"id": 1, "received_at": "20'
    assert [json.loads(line)["id"] for line in whole] == [1, 2]


def test_a_file_at_its_limit_that_is_put_aside(tmp_path: Path) -> None:
    """As log rotation does it."""
    path = tmp_path / "messages.jsonl"
    limit = partial(unix.resource.setrlimit, unix.resource.RLIMIT_FSIZE, (SIZE // 2, SIZE // 2))
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
    missing = f"{10 - len(before)} messages are missing"
    assert (code, errors) == (
        0,
        [f"ERROR: write {path}: {why}" for why in ("file too large", f"possible again, {missing}")],
    )


LOST = re.compile(rf"(?:WARNING|ERROR): {LOG_STAMP} (\d+) lines? of the log (?:was|were) lost: (.*)")
COMMANDS = 50


def send_commands(running: Daemon) -> None:
    """Some kilobytes of log, and two lines of errors."""
    with running.client() as client:
        client.send(b"NOOP\r\n" * COMMANDS)
        client.end()


def written(path: Path) -> list[str]:
    """All lines, which have to be whole."""
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return lines


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_log_goes_on_once_its_disk_has_room(disk: Path, mode: str) -> None:
    path, ballast = disk / "log", disk / "ballast"
    ballast.write_bytes(bytes(SIZE - 8 * 1024))
    with path.open(mode, buffering=0) as file:
        running = Daemon(stdout=file)
    with running, connected(running.port) as client:
        client.close()
        for _ in range(4):
            send_commands(running)
        wait_for_error(running, f"write stdout: {FULL}")
        before = written(path)
        ballast.unlink()
        send_commands(running)
        send_commands(running)
        running.process.terminate()
        code, _, errors = running.finish()
    assert (code, [error for error in errors if "EOF" not in error]) == (0, [])
    lines = written(path)
    assert lines[: len(before)] == before
    found = [LOST.fullmatch(line) for line in lines]
    ((place, match),) = [(place, match) for place, match in enumerate(found) if match]
    assert (place, match[2]) == (len(before), FULL)
    session = 1 + 1 + 2 * COMMANDS + 1
    frame = 1 + 3 + 2
    assert len(lines) - 1 + int(match[1]) == 6 * session + frame


def test_a_log_of_both_streams_on_one_disk(disk: Path) -> None:
    """Nobody is left to be told that it is full."""
    path, ballast = disk / "log", disk / "ballast"
    ballast.write_bytes(bytes(SIZE - 8 * 1024))
    with path.open("wb", buffering=0) as file:
        running = Daemon(stdout=file, stderr=file)
    with running, connected(running.port) as client:
        client.close()
        for _ in range(4):
            send_commands(running)
        ballast.unlink()
        send_commands(running)
        running.process.terminate()
        assert running.process.wait(MARGIN) == 0
    lines = written(path)
    (match,) = filter(None, map(LOST.fullmatch, lines))
    assert int(match[1]) > COMMANDS
    assert lines[-1].endswith(STOPPED.partition(" ")[2])


def test_an_error_log_goes_on_once_its_disk_has_room(disk: Path) -> None:
    path, ballast = disk / "log", disk / "ballast"
    ballast.write_bytes(bytes(SIZE))
    path.touch()
    with path.open("ab", buffering=0) as file:
        running = Daemon(stderr=file)
    with running, connected(running.port) as client:
        client.close()
        wait_for_line(running, f"write stderr: {FULL}")
        ballast.unlink()
        for _ in range(3):
            running.client().close()
        running.process.terminate()
        assert running.finish()[0] == 0
    lost, *errors = written(path)
    match = LOST.fullmatch(lost)
    assert match is not None
    assert (lost[:6], match[2]) == ("ERROR:", FULL)
    assert int(match[1]) + len(errors) == 4


def test_a_log_at_its_limit_that_is_emptied(tmp_path: Path) -> None:
    """As log rotation does it to a file that cannot be put aside."""
    path = tmp_path / "log"
    limit = partial(unix.resource.setrlimit, unix.resource.RLIMIT_FSIZE, (10_000, 10_000))
    with path.open("ab", buffering=0) as file:
        running = Daemon(stdout=file, preexec_fn=limit)
    with running, connected(running.port) as client:
        client.close()
        for _ in range(3):
            send_commands(running)
        wait_for_error(running, "write stdout: file too large")
        before = written(path)
        os.truncate(path, 0)
        running.process.terminate()
        assert running.finish()[0] == 0
    assert before[0].endswith(f"SMTP mock server started on port: {running.port}")
    lost, *after = written(path)
    match = LOST.fullmatch(lost)
    assert match is not None
    assert match[2] == "file too large"
    assert after[-1].endswith(STOPPED.partition(" ")[2])
