"""Faults that the frozen program meets in its own way: killed, out of descriptors, unread, and signalled too late."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import unix
from tests.faults.observed import MARGIN, assert_heeds_one_signal, assert_serves, wait_for_exit
from tests.faults.test_descriptors import IPV6_LITERAL, LIVE, crowd, few
from tests.faults.test_start import (
    FLAGS_AND_CODES,
    assert_has_full_device,
    assert_says_that_memory_is_short,
    serves_or_says_why,
    without_memory,
)
from tests.faults.test_unread_pipe import send_commands
from tests.helpers import PATIENCE, TRANSACTION, Client, free_port
from tests.test_cli import STAMP, posix, wait_for_error
from tests.test_files import records

from .processes import linux, listening, processes_with

pytestmark = posix


@linux
def test_after_a_sigkill_the_next_one_takes_its_place(program: Path, tmp_path: Path) -> None:
    """Amid a body, with its files open: no process and no other file is left, and the port is free at once."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = os.environ | {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME")}
    ports, messages, http_port = tmp_path / "ports.json", tmp_path / "messages.jsonl", free_port()
    flags = (f"-httpPort={http_port}", f"-portFile={ports}", f"-messagesFile={messages}")
    with listening(program, *flags, env=env) as running, running.client() as client:
        with running.client() as other:
            other.send(TRANSACTION + b"QUIT\r\n")
            other.rest()
        with Client(http_port, greeted=False) as request:
            request.send(LIVE)
            assert request.rest().endswith(b"ok")
        client.envelope()
        client.send(b"x" * 100_000)
        running.signal(unix.signal.SIGKILL)
        assert running.finish()[0] == -unix.signal.SIGKILL
        assert processes_with(f"TMPDIR={temporary}") == []
        assert json.loads(ports.read_text()) == {"smtp": running.port, "http": http_port}, "nobody took it away"
        with listening(program, *flags, "-httpPort=0", env=env, port=running.port) as next_one:
            assert_serves(next_one)
            assert json.loads(ports.read_text())["smtp"] == running.port
            assert json.loads(ports.read_text())["http"] != http_port
            next_one.signal(signal.SIGTERM)
            assert next_one.finish()[0] == 0
    assert [record["id"] for record in records(messages)] == [1, 1]
    assert list(temporary.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [messages, temporary]


def test_out_of_descriptors_what_is_seldom_needed_still_works(program: Path) -> None:
    with listening(program, **few()) as running, crowd(running) as waiting:
        wait_for_error(running, "too many open files")
        assert waiting[0].read() == "220 Welcome"
        assert waiting[0].ask(IPV6_LITERAL) == "250 Received"


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end(program: Path) -> None:
    with listening(program) as running:
        send_commands(running)
        begun = time.monotonic()
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        assert time.monotonic() - begun < 1 + MARGIN


def test_a_signal_after_the_stop_changes_nothing(program: Path) -> None:
    with listening(program) as running:
        assert_heeds_one_signal(running)


@linux
@pytest.mark.parametrize("flags", [(), ("-httpPort=0",)], ids=str)
def test_with_few_descriptors_it_serves_or_says_why_not(program: Path, flags: tuple[str, ...]) -> None:
    serving = [serves_or_says_why([str(program)], descriptors, *flags) for descriptors in range(4, 16)]
    assert serving == sorted(serving)
    assert (serving[0], serving[-1]) == (False, True)


@pytest.mark.native
@linux
def test_with_little_memory_it_says_why_it_cannot_start(program: Path) -> None:
    assert_says_that_memory_is_short(without_memory([str(program)]))


@pytest.mark.parametrize(("flags", "code"), FLAGS_AND_CODES, ids=str)
def test_without_a_stream_to_speak_to_the_exit_code_speaks(program: Path, flags: list[str], code: int) -> None:
    assert_has_full_device("/dev/full")
    command = ["sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh", str(program), *flags]
    assert subprocess.run(command, timeout=PATIENCE).returncode == code


def test_a_version_that_cannot_be_written_is_one_clear_error(program: Path) -> None:
    assert_has_full_device("/dev/full")
    command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", str(program), "-v"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert re.fullmatch(f"{STAMP} Failed to write the version: no space left on device\n", done.stderr)


@linux
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a \xed\xa0\x80 b", b"\xc3", "Grüße".encode()], ids=repr)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_folder_may_be_called_anything(program: Path, tmp_path: Path, name: bytes, locale: str) -> None:
    """In a file system that stores any bytes; the bootloader wants UTF-8."""
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    shutil.copy(program, folder)
    shutil.copytree(program.with_name("smtpmock-files"), folder / "smtpmock-files", symlinks=True)
    http_port = free_port()
    environment = os.environ | {"LC_ALL": locale}
    with listening(str(folder / program.name), f"-httpPort={http_port}", env=environment) as running:
        assert_serves(running)
        with Client(http_port, greeted=False) as request:
            request.send(LIVE)
            assert request.rest().endswith(b"ok"), "which needs modules that are not of the start"
        running.signal(signal.SIGTERM)
        code, _, errors = running.finish()
    assert (code, errors) == (0, [])
