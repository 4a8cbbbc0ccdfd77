"""Faults that the frozen program meets in its own way: killed, out of descriptors, unread, and signalled too late."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.faults.observed import MARGIN, assert_heeds_one_signal, assert_serves, wait_for_exit
from tests.faults.test_descriptors import IPV6_LITERAL, LIVE, crowd, few
from tests.faults.test_unread_pipe import send_commands
from tests.helpers import TRANSACTION, Client, free_port
from tests.test_cli import posix, wait_for_error
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
        running.signal(signal.SIGKILL)
        assert running.finish()[0] == -signal.SIGKILL
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
