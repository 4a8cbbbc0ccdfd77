"""Streams that are closed or full: the log goes on where it can, and serving goes on in any case."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.helpers import HELO, PROGRAM, ROOT, Daemon, daemon, free_port
from tests.test_cli import STOPPED, connected, posix

from .observed import MARGIN, assert_serves

pytestmark = posix

FULL = Path("/dev/full")


@pytest.fixture
def full() -> Iterator[IO[bytes]]:
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with FULL.open("wb", buffering=0) as file:
        yield file


def test_a_full_stdout_leaves_the_errors(full: IO[bytes]) -> None:
    running = Daemon(stdout=full)
    with running, connected(running.port) as client:
        assert client.ask(HELO) == "250 Received"
        client.close()
        assert_serves(running)
        running.signal(signal.SIGTERM)
        assert running.finish() == (0, [], ["ERROR: write stdout: no space left on device", "ERROR: EOF"])


def test_a_full_stderr_leaves_the_rest(full: IO[bytes]) -> None:
    with daemon(stderr=full) as running:
        running.client().close()
        assert_serves(running)
        running.signal(signal.SIGTERM)
        code, out, _ = running.finish()
    assert (code, out.count("INFO: SMTP session finished"), out[-1]) == (0, 2, STOPPED)
    assert out.count("WARNING: write stderr: no space left on device") == 1


def test_an_stderr_that_nobody_reads_any_more_leaves_the_rest() -> None:
    with daemon() as running:
        assert running.process.stderr is not None
        running.process.stderr.close()
        for _ in range(3):
            running.client().close()
        assert_serves(running)
        running.signal(signal.SIGTERM)
        running.process.stderr = None
        code, out, _ = running.finish()
    assert (code, out.count("INFO: SMTP session finished"), out[-1]) == (0, 4, STOPPED)


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_one_stream_closed_from_the_start_leaves_the_other(closed: str) -> None:
    """Its descriptor is the next that is given out, to a socket that must not get the log."""
    port = free_port()
    command = ["sh", "-c", f'exec "$@" -port={port} -log {closed}', "sh", *PROGRAM]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with connected(port) as client:
            client.send(HELO)
            assert client.end() == b"250 Received\r\n"
        process.terminate()
        out, err = process.communicate(timeout=MARGIN)
    assert process.returncode == 0
    assert (b"SMTP session finished" in out, b"EOF" in err) == (closed == "2>&-", closed == ">&-")


def test_a_start_that_fails_with_all_streams_closed() -> None:
    with daemon() as running:
        command = ["sh", "-c", f'exec "$@" -port={running.port} -log <&- >&- 2>&-', "sh", *PROGRAM]
        assert subprocess.run(command, cwd=ROOT, timeout=MARGIN).returncode == 1
        assert_serves(running)
