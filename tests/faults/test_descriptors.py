"""Out of file descriptors: who is in is served, whatever he says, and who waits is served as soon as another leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import unix
from tests.frozen.processes import linux
from tests.helpers import HELO, TRANSACTION, Client, Daemon, daemon
from tests.soak import procfs
from tests.test_cli import posix, wait_for_error
from tests.test_files import records

from .observed import BYE, a_second_passes, observed, peer

pytestmark = posix

LIMIT, CLIENTS = 64, 200
OUT_OF_DESCRIPTORS = "ERROR: accept tcp: too many open files"


def few(limit: int = LIMIT) -> dict[str, Any]:
    """What to start a process with so few descriptors with."""
    return {"preexec_fn": partial(unix.resource.setrlimit, unix.resource.RLIMIT_NOFILE, (limit, limit))}


@contextmanager
def crowd(running: Daemon, count: int = CLIENTS) -> Iterator[deque[Client]]:
    """Clients that the kernel has connected, in the order in which they did."""
    with ExitStack() as stack:
        yield deque(stack.enter_context(Client(running.port, greeted=False)) for _ in range(count))


def test_all_are_served_as_the_first_leave() -> None:
    with daemon(**few()) as running, crowd(running) as waiting:
        wait_for_error(running, "too many open files")
        for client in waiting:
            assert client.read() == "220 Welcome"
            client.send(HELO + b"QUIT\r\n")
            assert client.rest() == b"250 Received\r\n" + BYE
            client.close()
        running.process.terminate()
        code, _, errors = running.finish()
    assert (code, set(errors)) == (0, {OUT_OF_DESCRIPTORS})
    assert len(errors) < CLIENTS, "each pause is told once, and ends when somebody leaves"


@pytest.mark.parametrize("limit", [12, 16])
def test_with_hardly_any_they_are_served_in_turn(limit: int) -> None:
    with daemon(**few(limit)) as running:
        for _ in range(5):
            with running.client() as client:
                client.send(b"QUIT\r\n")
                assert client.rest() == BYE


@linux
def test_it_waits_without_work_and_without_a_word() -> None:
    with daemon(**few()) as running, crowd(running):
        wait_for_error(running, "too many open files")
        before = procfs.ticks(peer(running))
        a_second_passes()
        assert procfs.ticks(peer(running)) - before <= 10, "a tenth of a second"
        running.process.kill()
        assert running.finish()[2] == []


IPV6_LITERAL = b"EHLO [IPv6:::1]\r\n"
"""Which only an uncommon library reads."""
CHALLENGED = b"EHLO example.com\r\nAUTH CRAM-MD5\r\n"
RESET = '[[rule]]\non = "noop"\nthen = "reset"\n'


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (IPV6_LITERAL, b"250"),
        (CHALLENGED, b"334"),
        (CHALLENGED + b"am9lIDA=\r\n", b"535"),
        (b"NOOP\r\n", b""),
    ],
    ids=["address literal", "challenge", "response", "reset"],
)
def test_what_is_seldom_needed_still_works(said: bytes, heard: bytes, tmp_path: Path) -> None:
    """A library that is loaded when it is first needed would take a descriptor."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RESET)
    with daemon("-authUsers=joe:secret", f"-rules={rules}", **few()) as running, crowd(running) as waiting:
        wait_for_error(running, "too many open files")
        client = waiting[0]
        assert client.read() == "220 Welcome"
        client.send(said)
        if heard:
            assert read_to(client, heard)
        else:
            with pytest.raises(ConnectionResetError):
                client.read()
        assert running.process.poll() is None
        assert waiting[1].read() == "220 Welcome"
        assert waiting[1].ask(HELO) == "250 Received"


def read_to(client: Client, code: bytes) -> bool:
    """Read up to a reply with this code; whether there is one."""
    while line := client.read_line():
        if line.startswith(code):
            return True
    return False


def test_the_first_request_over_http_is_answered_later() -> None:
    with observed(**few()) as running:
        with crowd(running):
            wait_for_error(running, "too many open files")
            assert running.process.poll() is None
        assert len(running.messages(CLIENTS)) == CLIENTS


LIVE = b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n"


@linux
@pytest.mark.parametrize("spare", range(3))
def test_the_first_request_over_http_when_few_are_left(spare: int) -> None:
    """It loads more than all else: with the last descriptors it has to wait."""
    with observed(**few()) as running:
        left = LIMIT - len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))
        with crowd(running, left - 1 - spare) as others, Client(running.http_port, greeted=False) as request:
            request.send(LIVE)
            assert others[0].read() == "220 Welcome"
            assert others[0].ask(HELO) == "250 Received", "it has met the request by now"
            for client in others:
                client.close()
            assert request.rest().endswith(b"ok")


def test_messages_are_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with daemon(f"-messagesFile={path}", **few()) as running, crowd(running) as waiting:
        wait_for_error(running, "too many open files")
        client = waiting.popleft()
        assert client.read() == "220 Welcome"
        client.send(TRANSACTION + b"QUIT\r\n")
        assert client.rest().endswith(BYE)
        assert [record["is_consistent"] for record in records(path)] == [True]
