"""On Windows: the console's events stop the program as signals do elsewhere, and terminate() leaves nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.console import CLOSE, CTRL_BREAK, CTRL_C, EVENTS, children, send_event
from tests.helpers import HELO, PATIENCE, PROGRAM, ROOT, TRANSACTION, daemon, free_port
from tests.test_cli import FORCED, SHUTDOWN, STOPPED, wait_for_line

pytestmark = pytest.mark.skipif(os.name != "nt", reason="no other system has such consoles; signals have tests there")

each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)


@pytest.fixture(params=["module", "frozen"])
def program(request: pytest.FixtureRequest) -> Sequence[str]:
    """The words that start the program: from its sources, and the frozen one, where SMTPMOCK_PROGRAM names it."""
    if request.param == "module":
        return PROGRAM
    named = os.environ.get("SMTPMOCK_PROGRAM")
    if not named:
        pytest.skip("SMTPMOCK_PROGRAM names no frozen program")
    return (str(Path(named).absolute()),)


@each_event
def test_an_event_stops_an_idle_server_at_once(program: Sequence[str], event: int, tmp_path: Path) -> None:
    ports = tmp_path / "ports.json"
    with daemon(f"-portFile={ports}", program=program) as running:
        wait_for_file(ports)
        send_event(running.process, event)
        assert running.finish() == (0, [SHUTDOWN, STOPPED], [])
        assert list(tmp_path.iterdir()) == []
        assert_is_free(running.port)


@each_event
def test_a_session_ends_after_the_reply_it_owes(program: Sequence[str], event: int, tmp_path: Path) -> None:
    messages = tmp_path / "messages.jsonl"
    flags = (f"-messagesFile={messages}", "-responseDelayHelo=1", "-shutdownTimeout=10")
    with daemon(*flags, program=program) as running, running.client() as client:
        client.send(HELO + b"NOOP\r\n")
        wait_for_line(running, "SMTP response delay: 1 sec")
        send_event(running.process, event)
        assert client.rest() == b"250 Received\r\n"
        client.close()
        code, out, err = running.finish()
    assert (code, out[-1], err) == (0, STOPPED, [])
    (line,) = messages.read_bytes().splitlines(keepends=True)
    assert line.endswith(b"\n")
    assert json.loads(line)["helo"] is True


@each_event
def test_a_second_event_cuts_at_once(program: Sequence[str], event: int, tmp_path: Path) -> None:
    messages = tmp_path / "messages.jsonl"
    flags = (f"-messagesFile={messages}", "-shutdownTimeout=3600", "-multipleMessageReceiving")
    with daemon(*flags, program=program) as running, running.client() as client:
        client.send(TRANSACTION)
        for _ in range(5):
            client.read()
        send_event(running.process, CTRL_C)
        wait_for_line(running, "shutdown mode")
        send_event(running.process, event)
        assert client.rest() == b""
        code, out, err = running.finish()
    assert (code, out[-1], err) == (0, FORCED, [])
    assert [json.loads(line)["msg"] for line in messages.read_bytes().splitlines()] == [True]


def test_terminate_leaves_no_process_and_the_port_free(program: Sequence[str]) -> None:
    with daemon(program=program) as running, running.client() as client:
        assert client.ask(HELO) == "250 Received"
        assert children(running.process.pid) == []
        running.process.terminate()
        assert running.finish()[0] == 1  # which is what terminate() says
        with daemon(program=program, port=running.port) as next_one, next_one.client() as another:
            assert another.ask(b"NOOP\r\n") == "250 Ok"


EMBEDDED = """
import sys
from smtpmock_cli import Configuration, Server
Server(Configuration(port_number=int(sys.argv[1]), log_to_stdout=True, log_server_activity=True)).serve()
print("served", flush=True)
sys.stdin.read()
print("read", flush=True)
"""


def test_a_program_that_serves_has_its_console_back_afterwards() -> None:
    port = free_port()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", EMBEDDED, str(port)], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().endswith(b"started on port: %d\n" % port)
            send_event(process, CTRL_BREAK)
            assert b"served" in [process.stdout.readline().strip() for _ in range(3)]
            send_event(process, CTRL_BREAK)
            assert b"read" not in process.communicate(timeout=PATIENCE)[0]
        finally:
            process.kill()


def test_closing_the_console_waits_for_what_the_program_has_left_to_do() -> None:
    """Else the system would end the process with its first answer."""
    with daemon("-shutdownTimeout=2") as running, running.client() as client:
        begun = time.monotonic()
        send_event(running.process, CLOSE)
        assert client.rest() == b""
        code, out, _ = running.finish()
        assert (code, out[-1]) == (0, FORCED)
        assert time.monotonic() - begun > 1.9


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end


def assert_is_free(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        pass
