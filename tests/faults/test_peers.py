"""Peers that break off, that half-close and that are at the edge of a limit: each ends its own session alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from smtpmock_cli.smtp.session import LINE_LIMIT
from tests.certificates import Certificate
from tests.helpers import HELO, daemon
from tests.test_cli import posix

from . import phases
from .observed import assert_serves, assert_stops, observed
from .phases import DATA, PHASES, Phase, at_hand, final_codes, reached

FINISHED = "INFO: SMTP session finished"


@posix
@pytest.mark.parametrize("phase", PHASES, ids=phases.name)
def test_a_reset_ends_that_session_alone(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    with at_hand(tmp_path, certificate) as running:
        with reached(phase, running) as client:
            client.reset()
            assert len(running.messages(1)) == 1
        assert running.states() == []
        assert_serves(running)
        assert [message["is_consistent"] for message in running.messages(2)] == [False, True]
        assert assert_stops(running).count(FINISHED) == 2


RESET = "connection reset by peer"
IN_A_BODY = [phase for phase in PHASES if phase.state == phases.BODY]
BETWEEN_COMMANDS = [phase for phase in PHASES if phase.state in (phases.COMMAND, phases.RESPONSE, phases.HANDSHAKE)]


def causes_of(phase: Phase, folder: Path, certificate: Certificate, *flags: str) -> list[str]:
    """The errors that a reset in that phase leaves on stderr, without their addresses."""
    with at_hand(folder, certificate, *flags) as running:
        with reached(phase, running) as client:
            client.reset()
            assert len(running.messages(1)) == 1
        running.process.terminate()
        _, _, errors = running.finish()
    return [error.rpartition(": ")[2] for error in errors]


@posix
@pytest.mark.parametrize("phase", IN_A_BODY, ids=phases.name)
def test_a_reset_in_a_body_is_logged_and_then_the_end(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    """go-smtp-mock looks for the next command after the body, and finds the end."""
    assert causes_of(phase, tmp_path, certificate) == [RESET, "EOF"]


@posix
@pytest.mark.parametrize("phase", IN_A_BODY, ids=phases.name)
def test_with_fail_fast_a_reset_in_a_body_is_all(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    assert causes_of(phase, tmp_path, certificate, "-failFast") == [RESET]


@posix
@pytest.mark.parametrize("phase", BETWEEN_COMMANDS, ids=phases.name)
def test_a_reset_between_commands_is_all(phase: Phase, tmp_path: Path, certificate: Certificate) -> None:
    assert causes_of(phase, tmp_path, certificate) == [RESET]


@posix
@pytest.mark.parametrize("sent", [b".", b".\r", b"x\r\n."], ids=["dot", "dot CR", "dot of a line"])
def test_a_reset_amid_the_end_of_a_body_is_one_in_the_body(sent: bytes) -> None:
    with observed() as running:
        with running.client() as client:
            client.envelope()
            client.send(sent)
            running.settle()
            client.reset()
            assert running.messages(1)[0]["msg"] is False
        running.process.terminate()
        errors = running.finish()[2]
    assert [error.rpartition(": ")[2] for error in errors] == [RESET, "EOF"]


@pytest.mark.parametrize("phase", [phase for phase in PHASES if not phase.behind], ids=phases.name)
def test_a_half_closed_peer_gets_all_replies_and_then_the_end(
    phase: Phase, tmp_path: Path, certificate: Certificate
) -> None:
    with at_hand(tmp_path, certificate) as running:
        with running.client() as client:
            client.send(phase.sent)
            client.sock.shutdown(socket.SHUT_WR)
            expected = phase.replies + phase.later
            assert final_codes(client, len(expected)) == expected
            assert client.rest() == b""
        assert len(running.messages(1)) == 1
        assert running.states() == []
        assert_serves(running)


def test_pipelined_commands_before_a_half_close_are_all_answered() -> None:
    """More than the events of one turn, and behind a reply that is late."""
    with daemon("-responseDelayHelo=1") as running, running.client() as client:
        client.send(HELO + b"NOOP\r\n" * 1000)
        assert client.end() == b"250 Received\r\n" + b"250 Ok\r\n" * 1000


@pytest.mark.parametrize("cut", [1, 2, 3], ids=["LF", "CR LF", "dot CR LF"])
def test_a_body_without_its_last_bytes_is_no_message(cut: int) -> None:
    with observed() as running:
        with running.client() as client:
            client.send(DATA + b"Hello.\r\n.\r\n"[:-cut])
            assert client.end().splitlines()[-1][:3] == b"354"
        (message,) = running.messages(1)
        assert (message["data"], message["msg"], message["is_consistent"]) == (True, False, False)


LIMIT = 100_000


@pytest.mark.parametrize(("excess", "code"), [(-1, "250"), (0, "250"), (1, "552"), (LIMIT, "552")])
def test_a_message_at_the_limit(excess: int, code: str) -> None:
    body = b"x" * (LIMIT + excess - 2) + b"\r\n"
    with daemon(f"-msgSizeLimit={LIMIT}") as running, running.client() as client:
        client.envelope()
        client.send(body + b".\r\n")
        assert client.read()[:3] == code
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@pytest.mark.parametrize(("excess", "code"), [(-1, "250"), (0, "250"), (1, "500"), (LINE_LIMIT, "500")])
@pytest.mark.parametrize("whole", [True, False], ids=["in one go", "its end later"])
def test_a_command_at_the_limit_of_a_line(excess: int, code: str, whole: bool) -> None:
    line = b"NOOP ".ljust(LINE_LIMIT + excess - 2, b"x") + b"\r\n"
    assert len(line) == LINE_LIMIT + excess
    with daemon() as running, running.client() as client, running.client() as other:
        if whole:
            client.send(line)
        else:
            client.send(line[:-1])
            assert other.ask(b"NOOP\r\n") == "250 Ok"
            client.send(line[-1:])
        assert client.read()[:3] == code
        assert client.ask(b"RSET\r\n")[:3] == "503", "in step again"
