"""The frozen program in the hands of the Ruby gem smtp_mock.

The gem spawns ``smtpmock`` through a shell, sleeps 100 ms, takes the first line of stderr for an error,
and everything else for a server that listens. It does not look again: these tests are timed because it is.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import unix
from tests.e2e import tools
from tests.e2e.clients import found
from tests.e2e.clients import run as run_tool
from tests.helpers import PATIENCE, Client, free_port
from tests.test_cli import STAMP, connected, continue_after_a_moment, posix

pytestmark = [posix, pytest.mark.native]

WARM_UP = 0.1
"""Seconds, the gem's WARMUP_DELAY."""
GREETING = "220 it's the gem's"


class Life(NamedTuple):
    """One process of the gem's: what was in stderr's file, and whether the port was open, when the gem looked."""

    said: str
    is_open: bool
    milliseconds: float
    """From the spawn to the greeting, at least the gem's wait."""

    @property
    def is_right(self) -> bool:
        return (self.said, self.is_open) == ("", True)


def live(env: Mapping[str, str], err_log: Path) -> Life:
    port = free_port()
    begun = time.perf_counter()
    with spawned(f'smtpmock -host="127.0.0.1" -log -msgGreeting="{GREETING}" -port={port}', env, err_log) as process:
        gem_waits()
        said = err_log.read_text()
        is_open = greets(port)
        if not is_open:
            connected(port).close()
        milliseconds = (time.perf_counter() - begun) * 1000
        signal_group(process, signal.SIGTERM)
        process.wait(PATIENCE)
        wait_until_closed(port)
    return Life(said, is_open, milliseconds)


@contextmanager
def spawned(command: str, env: Mapping[str, str], err_log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the gem's, through the shell, as ``Process.spawn`` does it.

    In a session of its own: a shell that does not replace itself by its last command (Debian's dash) stays
    between us and the program, and keeps a signal to itself.
    """
    with (
        err_log.open("wb") as err,
        subprocess.Popen(
            command, shell=True, env=env, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            signal_group(process, unix.signal.SIGKILL)


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def gem_waits() -> None:
    """All that the gem does for a server to come up."""
    time.sleep(WARM_UP)


def greets(port: int) -> bool:
    try:
        with Client(port, greeted=False) as client:
            return client.read() == GREETING
    except ConnectionError:
        return False


def wait_until_closed(port: int) -> None:
    """By binding it: a client whose handshake meets the listener's close is left without an end by Linux."""
    for _ in range(1000):
        if is_free(port):
            return
        continue_after_a_moment()
    raise TimeoutError(f"port {port} is still open")


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_in_time(attempt: Callable[[], str], times: int) -> None:
    """So many attempts in a row without a miss; an attempt returns what it missed, or nothing.

    A machine that others use too can miss by itself. So a series that met a miss is tried again, twice; and
    where the bare interpreter is late as well, the machine is to blame, of which the program takes four
    times the time.
    """
    misses = []
    for _ in range(3):
        miss = next((missed for _ in range(times) if (missed := attempt())), None)
        if miss is None:
            return
        misses.append(f"{miss}, {load()}")
    bare = late_bare_start()
    if bare > WARM_UP / 4:
        pytest.skip(f"too busy a machine: the bare interpreter takes {bare * 1000:.0f} ms; {'; '.join(misses)}")
    pytest.fail(f"none of three series of {times} was without a miss: {'; '.join(misses)}")


def live_often(env: Mapping[str, str], err_log: Path) -> None:
    def attempt() -> str:
        life = live(env, err_log)
        return "" if life.is_right else str(life)

    is_in_time(attempt, 200)


def late_bare_start() -> float:
    """Seconds in which 19 of 20 starts of the interpreter alone are over."""
    taken = []
    for _ in range(40):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, timeout=PATIENCE)
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[-2]


def load() -> str:
    """What else the machine does: on one that is busy a miss says little."""
    return f"load average {unix.os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if sys.platform != "win32" else ""


def test_every_start_is_in_time(on_path: dict[str, str], tmp_path: Path) -> None:
    live_often(on_path, tmp_path / "err_log")


def test_every_start_is_in_time_beside_a_busy_core(on_path: dict[str, str], tmp_path: Path) -> None:
    with one_of_two_cores_busy():
        live_often(on_path, tmp_path / "err_log")


@contextmanager
def one_of_two_cores_busy() -> Iterator[None]:
    """Where the system lets us choose, this thread and its children have two cores, one of them kept busy."""
    spin = "import time\nend = time.monotonic() + 120\nprint(flush=True)\nwhile time.monotonic() < end: pass"
    before: set[int] = set()
    if sys.platform == "linux":
        before = os.sched_getaffinity(0)
        if len(before) < 2:
            pytest.skip("there is only one core")
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()
            if sys.platform == "linux":
                ours = sorted(before)[:2]
                os.sched_setaffinity(busy.pid, ours[:1])
                os.sched_setaffinity(0, ours)
            yield
        finally:
            if sys.platform == "linux":
                os.sched_setaffinity(0, before)
            busy.kill()


def test_a_port_in_use_is_told_in_time(on_path: dict[str, str], tmp_path: Path) -> None:
    err_log = tmp_path / "err_log"
    with one_listening() as port:

        def attempt() -> str:
            begun = time.perf_counter()
            with spawned(f'smtpmock -host="127.0.0.1" -port={port}', on_path, err_log) as process:
                gem_waits()
                said = err_log.read_text()
                assert process.wait(PATIENCE) == 1
                milliseconds = (time.perf_counter() - begun) * 1000
            expected = rf"{STAMP} Failed to start SMTP mock server on port: {port}\n"
            assert re.fullmatch(expected, err_log.read_text())
            return "" if said else f"exit after {milliseconds:.0f} ms, stderr empty when the gem looked"

        is_in_time(attempt, 20)


@contextmanager
def one_listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ruby_lives_with_it(on_path: dict[str, str], tmp_path: Path) -> None:
    ruby = found(tools.ruby_with_net_smtp)
    with_both = tools.Tool(ruby.argv, {**ruby.env, "PATH": on_path["PATH"]})
    script = Path(__file__).with_name("gem_life.rb")

    def attempt() -> str:
        said = run_tool(with_both, str(script), "10", str(tmp_path / "err_log"))
        return "" if said == "exit 0\n20 lives, one refused port\n" else said

    is_in_time(attempt, 1)
