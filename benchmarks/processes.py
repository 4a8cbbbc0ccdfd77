"""The servers under load, and the load: every process has a deadline, and none is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.e2e.tools import Tool, smtp_sink

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
SESSIONS = 10
"""Connections that the load keeps open side by side."""
BACKLOG = 500
"""Connections that may wait for smtp-sink to accept them."""
START_LIMIT = 10.0
"""Seconds until a server has to listen."""
STOP_LIMIT = 10.0
"""Seconds until a killed server has to be gone."""
LOAD_LIMIT = 300.0
"""Seconds that one load may take."""

Launch = Callable[[int], Tool]
"""How to run a server on a port."""


class MeasurementError(Exception):
    """A server or a load did not do its work, so that its time means nothing."""


class Load(NamedTuple):
    """What smtp-source sends; ``size`` is a body's, in bytes."""

    messages: int
    size: int
    connection_kept: bool = False


class Peer(NamedTuple):
    """A server that listens."""

    name: str
    pid: int
    port: int


def end_on_sigterm() -> None:
    """Stopped from outside, have the children stopped too, as on Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def ours(*flags: str) -> Launch:
    """The command-line program."""
    return lambda port: _python("-m", "smtpmock_cli", f"-port={port}", *flags)


def aiosmtpd() -> Launch:
    return lambda port: _python("-m", "benchmarks.aiosmtpd_peer", str(port))


def sink() -> Launch:
    """Postfix's smtp-sink.

    :raises ToolMissing: it is not here.
    """
    tool = smtp_sink()
    is_root = sys.platform != "win32" and os.geteuid() == 0
    user = ["-u", "nobody"] if is_root else []  # as root, it refuses to run
    return lambda port: tool._replace(argv=[*tool.argv, *user, f"{HOST}:{port}", str(BACKLOG)])


def _python(*arguments: str) -> Tool:
    return Tool([sys.executable, *arguments], dict(os.environ))


@contextmanager
def running(name: str, launch: Launch) -> Iterator[Peer]:
    """A server that listens; what it prints goes to a file.

    :raises MeasurementError: it does not come to listen.
    """
    port = free_port()
    tool = launch(port)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            tool.argv, env=tool.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=complaints
        )
        try:
            if not _listens(process, port):
                raise MeasurementError(f"{name} does not listen: {_last_line(complaints)}")
            yield Peer(name, process.pid, port)
        finally:
            process.kill()
            process.wait(STOP_LIMIT)


def send(source: Tool, load: Load, peer: Peer) -> float:
    """Seconds until the peer took the whole load.

    :raises MeasurementError: smtp-source met a reply that it did not want, or any other trouble.
    """
    begun = time.perf_counter()
    said = _run_source(source, load, peer)
    seconds = time.perf_counter() - begun
    if said:
        raise MeasurementError(f"{peer.name}: smtp-source says {said!r}")
    return seconds


def warm_up(source: Tool, load: Load, peer: Peer) -> None:
    """Send the load, and see that every message of it was accepted.

    Only here, because telling the count costs smtp-source one write a message.

    :raises MeasurementError: as :func:`send`, or the count is another.
    """
    count = _run_source(source, load, peer, "-c").split("\r")[-1]
    if count != str(load.messages):
        raise MeasurementError(f"{peer.name} took {count or 'none'} of {load.messages} messages")


def _run_source(source: Tool, load: Load, peer: Peer, *options: str) -> str:
    """What smtp-source says; without -A it gives up at the first reply that is not the good one."""
    envelope = ["-f", "a@example.com", "-t", "b@example.com", "-M", "example.com"]
    amount = ["-s", str(SESSIONS), "-l", str(load.size), "-m", str(load.messages)]
    kept = ["-d"] if load.connection_kept else []
    try:
        ended = subprocess.run(
            [*source.argv, *options, *kept, *amount, *envelope, f"{HOST}:{peer.port}"],
            env=source.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOAD_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{peer.name} took more than {LOAD_LIMIT:.0f} s") from error
    complaint = ended.stderr.decode("utf-8", "replace").strip()
    if ended.returncode != 0 or complaint:
        # Without the program's path, which stands first.
        raise MeasurementError(f"{peer.name}: smtp-source gives {ended.returncode}, {complaint.partition(': ')[2]}")
    return ended.stdout.decode("utf-8", "replace").strip()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else "it says nothing"
