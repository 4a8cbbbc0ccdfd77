"""A shutdown with -esmtp: a client that can take it in gets 421 (RFC 5321 section 3.8), and holds up nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server
from tests.certificates import Certificate
from tests.helpers import Client, Daemon, daemon
from tests.net.test_tls import secure
from tests.test_cli import FORCED, SHUTDOWN, STOPPED, wait_for_line

from . import phases
from .observed import Reader, observed, send_until_not_read_from, wait_for_exit
from .phases import BODY, COMMAND, DELAY, HANDSHAKE, NOTHING, PHASES, RESPONSE, Phase, at_hand, reached
from .test_signals import LONG, SOON

GOODBYE = b"421 Service not available, closing transmission channel\r\n"
CODED_GOODBYE = GOODBYE.replace(b"421 ", b"421 4.3.2 ")


def stop(running: Daemon) -> None:
    """SIGTERM, and return once it has been heeded."""
    running.signal(signal.SIGTERM)
    wait_for_line(running, SHUTDOWN.removeprefix("WARNING: "))


def in_state(*states: str) -> list[Phase]:
    return [phase for phase in PHASES if phase.state in states]


@pytest.mark.parametrize("phase", in_state(COMMAND, RESPONSE), ids=phases.name)
def test_an_idle_client_is_told(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    with at_hand(tmp_path, certificate, f"-shutdownTimeout={LONG}") as running, reached(phase, running) as client:
        begun = time.monotonic()
        running.signal(signal.SIGTERM)
        assert client.rest() == GOODBYE
        assert wait_for_exit(running) == 0
        assert time.monotonic() - begun < SOON, "though the client keeps its socket open"
        out = running.finish()[1]
    goodbye = f"INFO: SMTP response: {GOODBYE.decode().strip()}"
    assert out[-4:] == [SHUTDOWN, goodbye, "INFO: SMTP session finished", STOPPED]


REST_OF_BODY = {"DATA": b"Hi.\r\n.\r\n", "body": b"lo.\r\n.\r\n", "chunk": b"x" * 995}


@pytest.mark.parametrize("phase", in_state(BODY), ids=phases.name)
def test_a_body_may_be_finished_first(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    with at_hand(tmp_path, certificate, f"-shutdownTimeout={LONG}") as running, reached(phase, running) as client:
        stop(running)
        client.send(REST_OF_BODY[phase.name] + b"NOOP\r\n")
        reply, goodbye = client.rest().splitlines(keepends=True)
        assert (reply[:4], goodbye) == (b"250 ", GOODBYE)
        assert wait_for_exit(running) == 0


@pytest.mark.parametrize("phase", in_state(DELAY), ids=phases.name)
def test_a_late_reply_comes_first(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    with at_hand(tmp_path, certificate, f"-shutdownTimeout={LONG}") as running, reached(phase, running) as client:
        client.send(b"NOOP\r\n")
        stop(running)
        assert client.rest() == b"250 Ok\r\n" + GOODBYE
        assert wait_for_exit(running) == 0


@pytest.mark.parametrize("phase", in_state(NOTHING, BODY, HANDSHAKE), ids=phases.name)
def test_a_client_that_cannot_be_told_is_cut_in_the_end(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    with at_hand(tmp_path, certificate, "-shutdownTimeout=1") as running, reached(phase, running) as client:
        running.signal(signal.SIGTERM)
        assert client.rest() == b""
        assert wait_for_exit(running) == 0
        assert running.finish()[1][-1] == FORCED


def test_a_handshake_may_be_finished_first(tmp_path: Path, certificate: Certificate) -> None:
    (phase,) = (phase for phase in PHASES if phase.name == "STARTTLS")
    with at_hand(tmp_path, certificate, f"-shutdownTimeout={LONG}") as running, reached(phase, running) as client:
        stop(running)
        secure(client, certificate)
        assert client.rest() == GOODBYE
        assert wait_for_exit(running) == 0


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_in_tls_it_comes_through_tls(mode: str, certificate: Certificate) -> None:
    flags = ("-esmtp", f"-tlsCert={certificate.both}", f"-tlsMode={mode}", f"-shutdownTimeout={LONG}")
    with daemon(*flags) as running, Client(running.port, greeted=mode == "starttls") as client:
        if mode == "starttls":
            client.ask(b"STARTTLS\r\n")
        secure(client, certificate)
        if mode == "implicit":
            client.read()
        assert client.ask(b"NOOP\r\n")[:3] == "250"
        running.signal(signal.SIGTERM)
        assert client.rest() == CODED_GOODBYE, "and TLS's own end"
        assert wait_for_exit(running) == 0


def test_everyone_is_told() -> None:
    with daemon("-esmtp", f"-shutdownTimeout={LONG}") as running:
        assert running.process.stdout is not None
        Reader(running.process.stdout.fileno())
        clients = [running.client() for _ in range(200)]
        running.signal(signal.SIGTERM)
        assert {client.rest() for client in clients} == {CODED_GOODBYE}
        assert wait_for_exit(running) == 0
        for client in clients:
            client.close()


def test_an_embedded_server_says_so_too() -> None:
    server = Server(Configuration(esmtp=True, shutdown_timeout=LONG))
    server.start()
    with Client(server.port_number) as client:
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < SOON
        assert client.rest() == CODED_GOODBYE
    assert len(server.messages()) == 1


def test_a_client_that_reads_nothing_is_not_waited_for() -> None:
    with observed("-esmtp", "-shutdownTimeout=1") as running, running.client() as client:
        assert running.process.stdout is not None
        Reader(running.process.stdout.fileno())
        send_until_not_read_from(running, client, b"x\r\n" * 1000)
        begun = time.monotonic()
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
        assert time.monotonic() - begun < 1 + SOON


def test_a_second_signal_cuts_at_once() -> None:
    with daemon("-esmtp", f"-shutdownTimeout={LONG}") as running, running.client() as client:
        client.send(b"EHLO example.com\r\nMAIL FROM:<a@b.co>\r\nRCPT TO:<b@b.co>\r\nDATA\r\n")
        wait_for_line(running, "SMTP response: 354")
        stop(running)
        running.signal(signal.SIGTERM)
        assert GOODBYE.partition(b" ")[2] not in client.rest()
        assert running.finish()[1][-1] == FORCED


def test_without_esmtp_it_is_the_end_alone() -> None:
    with daemon("-shutdownTimeout=1") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        assert client.rest() == b""
        assert running.finish()[1][-1] == FORCED
