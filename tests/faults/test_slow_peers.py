"""Peers that read nothing, and peers that send next to nothing: neither costs more than its own session."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from tests.frozen.processes import linux
from tests.helpers import PATIENCE, Client, Daemon, daemon
from tests.soak import descriptors, procfs
from tests.test_cli import posix

from .observed import (
    MARGIN,
    Observed,
    Reader,
    assert_serves,
    observed,
    peer,
    send_until_not_read_from,
    wait_for_exit,
)

UNKNOWN = b"x\r\n" * 1000
"""Three bytes, answered with a hundred: the fastest way to fill a peer's buffers."""
MEBIBYTE = 1024 * 1024


@linux
def test_a_peer_that_never_reads_is_bounded_and_timed_out() -> None:
    with observed("-sessionTimeout=3") as running, running.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        running.settle()
        assert_serves(running)
        before = procfs.resident(peer(running))
        sent = send_until_not_read_from(running, client, UNKNOWN)
        sent += send_until_the_kernel_takes_no_more(running, client)
        assert sent < 64 * MEBIBYTE, "what the kernels of both sides hold, and no more"
        assert procfs.resident(peer(running)) - before < 8 * MEBIBYTE
        assert_serves(running)
        assert len(running.messages(3)) == 3
        assert running.states() == []


def send_until_the_kernel_takes_no_more(running: Observed, client: Client) -> int:
    """How much it took."""
    sent = refused = 0
    while refused < 3:
        try:
            sent += client.sock.send(UNKNOWN)
            refused = 0
        except BlockingIOError:
            refused += 1
            assert running.states(), "its timeout has not come yet"
    return sent


PEERS = 1000


@posix
def test_a_thousand_that_drip_are_cleared_away_while_others_are_served() -> None:
    count = descriptors.enough_for(PEERS)
    with daemon("-sessionTimeout=1") as running, ExitStack() as stack:
        assert running.process.stdout is not None
        assert running.process.stderr is not None
        out, errors = Reader(running.process.stdout.fileno()), Reader(running.process.stderr.fileno())
        begun = time.monotonic()
        clients = [stack.enter_context(running.client()) for _ in range(count)]
        drip_until_closed(clients, running)
        assert time.monotonic() - begun < 1 + 2 * MARGIN
        running.process.terminate()
        wait_for_exit(running)
        assert sum("i/o timeout" in line for line in errors.lines()) == count
        started, finished = (sum(f"session {what}" in line for line in out.lines()) for what in ("started", "finished"))
        assert started == finished > count


def drip_until_closed(clients: Sequence[Client], running: Daemon) -> None:
    """A byte to each in turn, of a line that never ends, and between the rounds a mail of somebody else."""
    deadline = time.monotonic() + PATIENCE
    dripping = {client.sock for client in clients}
    with selectors.DefaultSelector() as selector:
        for sock in dripping:
            selector.register(sock, selectors.EVENT_READ)
        while dripping:
            assert time.monotonic() < deadline
            for sock in dripping:
                with suppress(ConnectionError):  # closed a moment ago
                    sock.send(b"x")
            for key, _ in selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                selector.unregister(key.fileobj)
                dripping.remove(key.fileobj)
            assert_serves(running)
