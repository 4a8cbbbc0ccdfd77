"""A pipe as stdout that nobody reads, or not yet: serving goes on, and who reads gets whole lines and all of them."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time

import pytest

from tests import unix
from tests.frozen.processes import linux
from tests.helpers import Daemon, daemon
from tests.soak import procfs
from tests.test_cli import LOG_STAMP, posix

from .observed import BYE, MARGIN, Reader, assert_serves, peer, wait_for_exit

pytestmark = posix

LINE = re.compile(rf"(INFO|WARNING|ERROR): {LOG_STAMP} (?!.*{LOG_STAMP}).*")
"""One whole line, with nothing of another."""
LOST = re.compile(rf"WARNING: {LOG_STAMP} (\d+) lines of the log were lost, because nobody read them")
COMMANDS = 20_000


def send_commands(running: Daemon, count: int = COMMANDS) -> None:
    with running.client() as client:
        client.send(b"NOOP\r\n" * count + b"QUIT\r\n")
        assert client.rest() == b"250 Ok\r\n" * count + BYE


@linux
def test_a_pipe_that_nobody_reads_costs_little_memory() -> None:
    with daemon() as running:
        send_commands(running, 1000)
        before = procfs.resident(peer(running))
        for _ in range(3):
            send_commands(running)
        assert procfs.resident(peer(running)) - before < 8 * 1024 * 1024
        assert_serves(running)


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end() -> None:
    with daemon() as running:
        send_commands(running)
        begun = time.monotonic()
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        assert time.monotonic() - begun < 1 + MARGIN


def test_a_reader_that_comes_back_gets_whole_lines_and_how_many_are_missing() -> None:
    with daemon() as running:
        assert running.process.stdout is not None
        for _ in range(2):
            send_commands(running)
        reader = Reader(running.process.stdout.fileno())
        reader.wait_for(b"lines of the log were lost")
        send_commands(running, 10)
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        lines = reader.lines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    (lost,) = (int(found[1]) for line in lines if (found := LOST.fullmatch(line)))
    session, frame = 2 + 2 + 1, 2
    written = 2 * (session + 2 * COMMANDS) + session + 20 + frame
    assert len(lines) - 1 + lost == written
    assert len(LOST.split("\n".join(lines))[-1].splitlines()) > session + 20, "what comes afterwards is all there"


PIPE_SIZE = 64 * 1024
"""What Linux gives a pipe (pipe(7))."""
LINES = 200_000
"""Of a body: one read of the program's brings a quarter of them, and makes as many lines of the log."""


class FitfulReader(Reader):
    """Reads some megabytes as fast as it can, then rests until the pipe is full again, and so on."""

    def __init__(self, fd: int) -> None:
        self._rests_after = 0
        super().__init__(fd)

    def rest(self, count: int) -> None:
        self._rests_after -= count
        if self._rests_after <= 0:
            self._rests_after = 4_000_000
            deadline = time.monotonic() + 0.02  # for it may never be full again
            while readable(self.fd) < PIPE_SIZE - 2 * unix.select.PIPE_BUF and time.monotonic() < deadline:
                pass


def readable(pipe: int) -> int:
    """How many bytes wait in it."""
    count: int = struct.unpack("i", unix.fcntl.ioctl(pipe, unix.termios.FIONREAD, bytes(4)))[0]
    return count


@linux
@pytest.mark.parametrize("kind", [Reader, FitfulReader])
def test_a_reader_that_reads_loses_nothing(kind: type[Reader]) -> None:
    bodies = 8
    with daemon() as running:
        assert running.process.stdout is not None
        reader = kind(running.process.stdout.fileno())
        for _ in range(bodies):
            with running.client() as client:
                client.envelope()
                client.send(b"\r\n" * LINES + b".\r\nQUIT\r\n")
                assert client.rest() == b"250 Received\r\n" + BYE
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        assert sum("binary data" in line for line in reader.lines()) == bodies * (LINES + 1)


def test_both_streams_on_one_pipe_do_not_tear_each_others_lines() -> None:
    """Though both have more to write than the pipe holds, and their reader comes late."""
    sessions = 200
    with daemon(stderr=subprocess.STDOUT) as running:
        assert running.process.stdout is not None
        for number in range(sessions):
            with running.client() as client:
                client.send(b"NOOP " + b"x" * (number % 7) + b"\r\n" * 20)
                client.end()
        reader = Reader(running.process.stdout.fileno(), at_once=4096)
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        lines = reader.lines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert sum(line.endswith(" EOF") for line in lines) == sessions
