"""SIGSTOP and SIGCONT: what came meanwhile is answered, and what passed meanwhile comes once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import unix
from tests.helpers import BODY, HELO, Client, Daemon, daemon
from tests.test_cli import FORCED, SHUTDOWN, posix, wait_for_line

from .observed import a_second_passes, assert_serves, freeze, observed

pytestmark = posix


@contextmanager
def stopped_for_a_second(running: Daemon) -> Iterator[None]:
    freeze(running)
    yield
    a_second_passes()
    running.signal(unix.signal.SIGCONT)


def test_what_came_meanwhile_is_answered() -> None:
    with daemon() as running, running.client() as client:
        freeze(running)
        client.send(HELO)
        with Client(running.port, greeted=False) as newcomer:
            newcomer.send(HELO)
            running.signal(unix.signal.SIGCONT)
            assert client.read() == "250 Received"
            assert [newcomer.read(), newcomer.read()] == ["220 Welcome", "250 Received"]
        assert_serves(running)


@pytest.mark.parametrize("said", [b"NOOP\r\n", HELO + b"NOOP\r\n" * 1000])
def test_input_that_came_before_the_timeout_counts(said: bytes) -> None:
    with daemon("-sessionTimeout=1") as running, running.client() as client:
        with stopped_for_a_second(running):
            client.send(said)
        client.send(b"QUIT\r\n")
        assert client.rest().splitlines()[-2:] == [b"250 Ok", b"221 Closing connection"]


def test_a_body_that_came_before_the_timeout_counts() -> None:
    with daemon("-sessionTimeout=1") as running, running.client() as client:
        client.envelope()
        with stopped_for_a_second(running):
            client.send(BODY + b".\r\n")
        assert client.read() == "250 Received"


def test_timers_that_passed_meanwhile_fire_once() -> None:
    with observed("-sessionTimeout=1", "-responseDelayNoop=1") as running:
        with running.client() as late, running.client() as silent:
            late.send(b"NOOP\r\n")
            assert running.states() == ["response delay", "command"]
            with stopped_for_a_second(running):
                pass
            assert late.read() == "250 Ok"
            assert silent.rest() == b""
            assert late.rest() == b"", "after a timeout of its own, which began with the reply"
        running.process.terminate()
        code, out, errors = running.finish()
    assert (code, out.count("INFO: SMTP session finished")) == (0, 2)
    assert [error.rpartition(": ")[2] for error in errors] == ["i/o timeout"] * 2


def test_a_shutdown_timeout_that_passed_meanwhile_cuts_once() -> None:
    with daemon("-shutdownTimeout=1") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        wait_for_line(running, SHUTDOWN.removeprefix("WARNING: "))
        with stopped_for_a_second(running):
            pass
        assert client.rest() == b""
        code, out, _ = running.finish()
        assert (code, out.count(FORCED)) == (0, 1)
