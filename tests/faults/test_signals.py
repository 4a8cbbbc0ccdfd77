"""SIGTERM in every phase: the program ends in time and well, and leaves nothing behind but its messages."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import h11
import pytest

from tests import unix
from tests.certificates import Certificate
from tests.helpers import ENVELOPE, Client, Daemon, daemon
from tests.test_cli import FORCED, SHUTDOWN, STOPPED, posix, wait_for_line
from tests.test_files import records

from . import phases
from .observed import (
    MARGIN,
    Observed,
    Reader,
    a_second_passes,
    assert_heeds_one_signal,
    assert_serves,
    freeze,
    observed,
    send_until_not_read_from,
    wait_for_exit,
)
from .phases import PHASES, Phase, at_hand, reached

LONG = 60
"""Seconds of a delay, and of a patience, that a stop must not wait for."""


@contextmanager
def ends_within(running: Daemon, seconds: float) -> Iterator[None]:
    """The process ends well, within so many seconds from here."""
    begun = time.monotonic()
    yield
    assert wait_for_exit(running) == 0
    assert time.monotonic() - begun < seconds + MARGIN
    with socket.create_server(("127.0.0.1", running.port)):
        pass


STOPPED_IN = [phase for phase in PHASES if phase.name not in ("MAIL", "RCPT")]
"""These two are like HELO."""


def files(folder: Path) -> tuple[str, str]:
    """The flags that have it write files."""
    return f"-portFile={folder}/ports.json", f"-messagesFile={folder}/messages.jsonl"


def assert_left_as_it_should(folder: Path) -> None:
    """No port file, and one message."""
    assert not (folder / "ports.json").exists()
    assert len(records(folder / "messages.jsonl")) == 1


def ending(phase: Phase) -> str:
    """The log's last line; an idle session with ESMTP ends at once."""
    return STOPPED if phase.is_over or phase.state in (phases.COMMAND, phases.RESPONSE) else FORCED


@pytest.mark.parametrize("phase", STOPPED_IN, ids=phases.name)
def test_sigterm(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    flags = ("-shutdownTimeout=1", *files(tmp_path))
    with at_hand(tmp_path, certificate, *flags, seconds=LONG) as running, reached(phase, running):
        with ends_within(running, 1):
            running.signal(signal.SIGTERM)
        _, out, _ = running.finish()
        assert out[-1] == ending(phase)
        assert_left_as_it_should(tmp_path)


@pytest.mark.parametrize("phase", STOPPED_IN, ids=phases.name)
def test_sigterm_twice(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    flags = (f"-shutdownTimeout={LONG}", *files(tmp_path))
    with at_hand(tmp_path, certificate, *flags, seconds=LONG) as running, reached(phase, running):
        with ends_within(running, 0):
            running.signal(signal.SIGTERM)
            wait_for_line(running, SHUTDOWN.removeprefix("WARNING: "))
            running.signal(signal.SIGTERM)
        assert running.finish()[1][-1] == ending(phase)
        assert_left_as_it_should(tmp_path)


def test_sigterm_while_a_peer_does_not_read() -> None:
    with observed("-shutdownTimeout=1") as running, running.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        send_until_not_read_from(running, client, b"x\r\n" * 1000)
        with ends_within(running, 1):
            running.signal(signal.SIGTERM)


SOON = 1.0
"""Seconds: more than a busy machine takes for a tenth of it, and less than a closed connection usually waits."""


@contextmanager
def ends_soon(running: Daemon) -> Iterator[None]:
    """The process ends well, though its clients keep their sockets open and it would have a minute."""
    begun = time.monotonic()
    yield
    assert wait_for_exit(running) == 0
    assert time.monotonic() - begun < SOON
    assert running.finish()[1][-1] == STOPPED


@pytest.mark.parametrize(
    ("flags", "sent", "heard"),
    [
        ((), b"QUIT\r\n", b"221"),
        ((), b"QUIT\r\nNOOP\r\n", b"221"),
        (("-failFast",), b"MAIL FROM:<>\r\n", b"503"),
        (("-sessionTimeout=1",), b"", b""),
        (("-esmtp", "-multipleMessageReceiving"), b"QUIT\r\n", b"221"),
    ],
    ids=["QUIT", "more behind QUIT", "fail fast", "timeout", "ESMTP"],
)
def test_sigterm_does_not_wait_for_clients_of_finished_sessions(
    flags: tuple[str, ...], sent: bytes, heard: bytes
) -> None:
    with daemon(f"-shutdownTimeout={LONG}", *flags) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(20)]
        for client in clients:
            client.send(sent)
        for client in clients:
            assert client.rest()[:3] == heard
        with ends_soon(running):
            running.signal(signal.SIGTERM)


def test_sigterm_does_not_wait_for_those_who_were_too_many() -> None:
    with daemon(f"-shutdownTimeout={LONG}", "-maxConnections=1") as running, ExitStack() as stack:
        client = stack.enter_context(running.client())
        refused = stack.enter_context(Client(running.port, greeted=False))
        assert refused.rest() == b"421 Too many connections\r\n"
        assert client.ask(b"QUIT\r\n")[:3] == "221"
        with ends_soon(running):
            running.signal(signal.SIGTERM)


def test_sigterm_does_not_wait_for_clients_whose_session_it_ends() -> None:
    with daemon(f"-shutdownTimeout={LONG}", "-responseDelayNoop=1") as running, running.client() as client:
        client.send(b"NOOP\r\n")
        wait_for_line(running, "SMTP response delay: 1 sec")
        running.signal(signal.SIGTERM)
        assert client.rest() == b"250 Ok\r\n"
        with ends_soon(running):
            pass


def test_sigterm_does_not_wait_for_the_client_of_a_long_poll() -> None:
    with observed(f"-shutdownTimeout={LONG}") as running, long_poll(running, 1) as waiting, ends_soon(running):
        running.signal(signal.SIGTERM)
        assert body_of(waiting.rest())["complete"] is False


def test_sigterm_loses_nothing_of_a_last_reply_that_is_read_late() -> None:
    reply = "250 " + "x" * 50_000
    with observed(f"-shutdownTimeout={LONG}", f"-msgNoopReceived={reply}") as running, running.client() as client:
        assert running.process.stdout is not None
        log = Reader(running.process.stdout.fileno())
        send_until_not_read_from(running, client, b"NOOP\r\n" * 1000)
        running.signal(signal.SIGTERM)
        log.wait_for(b"shutdown mode")
        a_second_passes()
        client.sock.setblocking(True)
        assert {*client.rest().splitlines(keepends=True)} == {f"{reply}\r\n".encode()}
        begun = time.monotonic()
        assert wait_for_exit(running) == 0
        assert time.monotonic() - begun < SOON


def test_a_signal_after_the_stop_changes_nothing() -> None:
    """Whoever signals a whole process group, or asks twice, does not know that it has ended already."""
    with daemon() as running:
        assert_heeds_one_signal(running)


@posix
def test_a_signal_blocked_by_the_parent_still_stops() -> None:
    """A signal mask is inherited, and the reference unblocks what it listens to."""
    with daemon(preexec_fn=lambda: unix.signal.pthread_sigmask(unix.signal.SIG_BLOCK, [signal.SIGTERM])) as running:
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0


def numbers(*names: str) -> list[int]:
    """Of the signals that this system has."""
    return [number for name in names if (number := getattr(signal, f"SIG{name}", None))]


HARMLESS = numbers("USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "IO", "PWR", "XFSZ", "PIPE")
HARMLESS += numbers("CHLD", "CONT", "URG", "WINCH")
HARMLESS += range(35, 65) if sys.platform == "linux" else ()


@posix
def test_a_signal_that_means_nothing_is_ignored() -> None:
    with daemon() as running, running.client() as client:
        for number in HARMLESS:
            running.signal(number)
            assert client.ask(b"NOOP\r\n") == "250 Ok", number
        assert_serves(running)
        running.signal(signal.SIGTERM)
        assert running.finish()[2] == []


DEADLY = numbers("HUP", "KILL", "ABRT", "BUS", "FPE", "ILL", "SEGV", "STKFLT", "SYS", "TRAP")
DEADLY += (32, 34) if sys.platform == "linux" else ()


@posix
@pytest.mark.parametrize("number", DEADLY)
def test_a_deadly_signal_is_deadly(number: int) -> None:
    with daemon() as running:
        running.signal(number)
        assert wait_for_exit(running) == -number


@posix
def test_sighup_ignored_by_the_parent_stays_ignored() -> None:
    """As nohup has it."""
    with daemon(preexec_fn=lambda: signal.signal(unix.signal.SIGHUP, signal.SIG_IGN)) as running:
        running.signal(unix.signal.SIGHUP)
        assert_serves(running)


EMBEDDED = """
import sys
from smtpmock_cli import Configuration, Server
port = int(sys.argv[1].removeprefix("-port="))
Server(Configuration(port_number=port, log_to_stdout=True, log_server_activity=True)).serve()
"""


@posix
@pytest.mark.parametrize("number", numbers("USR1", "ALRM"))
def test_a_program_with_a_server_in_it_keeps_its_signals(number: int) -> None:
    with daemon(program=(sys.executable, "-c", EMBEDDED)) as running:
        assert_serves(running)
        running.signal(number)
        assert wait_for_exit(running) == -number


POLL = b"GET /smtpmock/messages?count=%d&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def long_poll(running: Observed, count: int) -> Iterator[Client]:
    """A request that waits for more messages than there are."""
    with Client(running.http_port, greeted=False) as client:
        client.send(POLL % count)
        running.settle()
        yield client


def body_of(answer: bytes) -> dict[str, object]:
    """The body of an answer, which is whole."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    head, *data = iter(client.next_event, h11.EndOfMessage())
    assert isinstance(head, h11.Response)
    assert head.status_code == 200
    return dict(json.loads(b"".join(event.data for event in data if isinstance(event, h11.Data))))


@pytest.mark.parametrize("lines", [1, 100_000], ids=["a small answer", "a large answer"])
def test_sigterm_answers_a_long_poll_as_a_whole(lines: int) -> None:
    with observed("-shutdownTimeout=1") as running:
        with running.client() as client:
            client.send(ENVELOPE + b"DATA\r\n" + b"x" * 70 * lines + b"\r\n.\r\nQUIT\r\n")
            client.rest()
        with long_poll(running, 2) as waiting, ends_within(running, 1):
            running.signal(signal.SIGTERM)
            told = body_of(waiting.rest())
        assert (told["complete"], told["count"]) == (False, 1)


def test_sigterm_while_nobody_reads_the_answer_of_a_long_poll() -> None:
    with observed("-shutdownTimeout=1") as running:
        with running.client() as client:
            client.send(ENVELOPE + b"DATA\r\n" + b"x" * 7_000_000 + b"\r\n.\r\nQUIT\r\n")
            client.rest()
        with long_poll(running, 2), ends_within(running, 1):
            running.signal(signal.SIGTERM)


@posix
@pytest.mark.parametrize(
    "signals", [(), (signal.SIGTERM,), (signal.SIGTERM, signal.SIGINT)], ids=["no signal", "a signal", "two signals"]
)
def test_all_that_can_happen_at_once(
    signals: tuple[signal.Signals, ...], tmp_path: Path, certificate: Certificate
) -> None:
    """Resets, ends and input in every phase, and the signals, all met in one turn: each session ends once."""
    flags = ("-shutdownTimeout=1", *files(tmp_path))
    with at_hand(tmp_path, certificate, *flags, seconds=LONG) as running, ExitStack() as stack:
        clients = [stack.enter_context(reached(phase, running)) for phase in PHASES for _ in WAYS_ON]
        freeze(running)
        for way, client in zip(cycle(WAYS_ON), clients, strict=False):
            way(client)
        for number in (*signals, unix.signal.SIGCONT):
            running.signal(number)
        if not signals:
            assert_serves(running)
            running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        sessions = len(clients) + (not signals)
        assert running.finish()[1].count("INFO: SMTP session finished") == sessions
        assert len(records(tmp_path / "messages.jsonl")) == sessions


def end(client: Client) -> None:
    client.sock.shutdown(socket.SHUT_WR)


def go_on(client: Client) -> None:
    client.send(b"\r\n.\r\nNOOP\r\nQUIT\r\n")


WAYS_ON = (Client.reset, end, go_on)
