"""A terminal as stdout that nobody reads, or that was told to stop: serving goes on, as with a pipe."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests import unix
from tests.helpers import Daemon
from tests.test_cli import posix

from .observed import MARGIN, assert_serves, wait_for_exit
from .test_unread_pipe import COMMANDS, LINE, LOST, send_commands

pytestmark = posix

STOP, GO_ON = b"\x13", b"\x11"
"""Ctrl+S and Ctrl+Q."""


class OnTerminal(NamedTuple):
    """A daemon that listens, and the side of its terminal where the user sits."""

    running: Daemon
    user: int

    def read_to(self, text: bytes) -> bytes:
        """What is shown up to this, and some of what follows."""
        shown = b""
        while text not in shown:
            shown += os.read(self.user, 4096)
        return shown


@contextmanager
def on_terminal() -> Iterator[OnTerminal]:
    user, theirs = unix.os.openpty()
    try:
        with Daemon(stdout=theirs, stderr=theirs) as running:
            os.close(theirs)
            terminal = OnTerminal(running, user)
            terminal.read_to(b"SMTP mock server started on port")
            yield terminal
    finally:
        os.close(user)


def test_a_terminal_that_nobody_reads_holds_up_nothing() -> None:
    with on_terminal() as terminal:
        for _ in range(2):
            send_commands(terminal.running)
        assert_serves(terminal.running)
        begun = time.monotonic()
        terminal.running.process.terminate()
        assert wait_for_exit(terminal.running) == 0
        assert time.monotonic() - begun < 1 + MARGIN


def test_a_terminal_that_is_stopped_goes_on_with_whole_lines() -> None:
    with on_terminal() as terminal:
        os.write(terminal.user, STOP)
        for _ in range(2):
            send_commands(terminal.running)
        os.write(terminal.user, GO_ON)
        shown = terminal.read_to(b"because nobody read them\r\n")
        # The end of the line that told of the start, and the beginning of one that is not read any further.
        _, *lines, _ = shown.decode().split("\r\n")
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        (lost,) = (int(found[1]) for line in lines if (found := LOST.fullmatch(line)))
        assert 0 < lost < 4 * COMMANDS
        assert len(lines) > COMMANDS // 10
