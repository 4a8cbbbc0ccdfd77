"""Where we are better than the reference on purpose: each row of the README's table has its test here."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.smtp.session import LINE_LIMIT
from smtpmock_cli.smtp.transaction import RECIPIENT_LIMIT
from tests.faults.observed import MARGIN, a_second_passes, assert_serves, peer, wait_for_exit
from tests.faults.test_start import limited
from tests.frozen.processes import linux
from tests.helpers import ENVELOPE, PATIENCE, PROGRAM, RCPT, ROOT, Client, Daemon, daemon, log_texts, play
from tests.net.test_listener import knows_nothing
from tests.soak import procfs
from tests.test_cli import (
    FORCED,
    STAMP,
    connected,
    continue_after_a_moment,
    posix,
    run,
    wait_for_error,
    wait_for_line,
)
from tests.test_files import FULL
from tests.test_server import has_ipv6

ROWS: dict[str, Callable[..., Any]] = {}
INVALID = Configuration().msg_invalid_cmd


def row(title: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Name the table's row that a test shows."""

    def remember(test: Callable[..., Any]) -> Callable[..., Any]:
        ROWS[title] = test
        return test

    return remember


@row("`NOOP arg`")
def test_noop_with_an_argument() -> None:
    played = play(b"NOOP x\r\n", Configuration(msg_noop_received="250 custom"))
    assert played.replies[1:] == ["250 custom"]
    assert played.messages[0].noop


@row("`QUIT arg`; a first word that is no command, though the line holds one (`FOO data`)")
@pytest.mark.parametrize("line", [b"QUIT x", b"FOO data", b"XNOOP", b"HELO\texample.com"])
def test_unrecognised(line: bytes) -> None:
    played = play(line + b"\r\nNOOP\r\n", Configuration(is_cmd_fail_fast=True))
    assert played.replies[1:] == [INVALID, "250 Ok"]
    assert not played.messages[0].quit_sent


@row("a body over the limit")
def test_body_over_the_limit() -> None:
    commands = b"NOOP\r\nQUIT\r\n" * 100
    with Server(Configuration(msg_size_limit=1000)) as server, Client(server.port_number) as client:
        client.envelope()
        client.send(commands)
        client.send(b".\r\n")
        assert client.read().startswith("552")
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@row("a body not finished within the timeout")
def test_body_not_finished() -> None:
    with Server(Configuration(session_timeout=1)) as server, Client(server.port_number) as client:
        client.envelope()
        client.send(b"NOOP\r\n")
        assert client.rest() == b""
        message = server.wait_for_messages(1, PATIENCE)[0]
    assert (message.data, message.msg, message.noop) == (True, False, False)


@row("a delay longer than `sessionTimeout`")
def test_delay_longer_than_timeout() -> None:
    slow = Configuration(session_timeout=1, response_delay_noop=2)
    with Server(slow) as server, Client(server.port_number) as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        assert client.ask(b"RSET\r\n").startswith("503")


@row("a line without end")
def test_line_without_end() -> None:
    with Server() as server, Client(server.port_number) as client:
        client.send(b"x" * (LINE_LIMIT + 1))
        assert client.read() == "500 Line too long"
        client.send(b"x" * LINE_LIMIT + b"\r\n")
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@row("recipients, commands, sessions, log lines that nobody reads")
def test_bounds() -> None:
    """One of each kind; at their edges they are met in tests/smtp/test_bounds.py, test_bounds.py and test_log.py."""
    settings = Configuration(multiple_rcptto=True, max_connections=1)
    with Server(settings) as server, Client(server.port_number) as client:
        with Client(server.port_number, greeted=False) as refused:
            assert refused.read() == "421 Too many connections"
        client.send(ENVELOPE + RCPT * RECIPIENT_LIMIT + b"QUIT\r\n")
        assert client.rest().splitlines()[-2:] == [b"452 Too many recipients", b"221 Closing connection"]


@row("`-host=::1`, `-host=::` and other IPv6 addresses without brackets")
@pytest.mark.parametrize("host", ["::", "::1"])
def test_host_without_brackets(host: str) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with daemon(f"-host={host}") as running, Client(running.port, "::1") as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@row("`-host=127.1`, `-host=0x7f000001` and other numbers that the system's resolver takes for an IPv4 address")
@posix
@pytest.mark.parametrize("host", ["127.1", "0x7f000001"])
def test_host_as_a_number(host: str) -> None:
    with daemon(f"-host={host}") as running, Client(running.port) as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@row("`-host=localhost` where nothing resolves names, as in an empty container")
def test_localhost_without_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as container:
        container.setattr(socket, "getaddrinfo", knows_nothing)
        server = Server(Configuration(host_address="localhost"))
        server.start()
    try:
        with Client(server.port_number) as client:
            assert client.ask(b"NOOP\r\n") == "250 Ok"
    finally:
        server.stop()


@row("no `-host`")
def test_no_host() -> None:
    assert Configuration().host_address == "127.0.0.1"
    if not has_ipv6():
        pytest.skip("without IPv6, only the default itself can be shown")
    with daemon() as running, pytest.raises(ConnectionRefusedError):
        Client(running.port, "::1")


@row("`HELO [IPv6:…]`")
def test_ipv6_literal() -> None:
    assert play(b"EHLO [IPv6:2001:db8::1]\r\n").replies[1:] == ["250 Received"]
    assert play(b"EHLO [IPv6:2001:db8::x]\r\n").replies[1:] == [Configuration().msg_invalid_cmd_helo_arg]


@row("a word that is no flag (`-log false -port=1`)")
def test_word_that_is_no_flag() -> None:
    done = run("-log", "false", "-port=1")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "unexpected argument: false")
    assert run("-v", "false").returncode == 0


@row('an empty argument (`"$EXTRA"`)')
def test_an_empty_argument() -> None:
    with daemon("", "-failFast", "") as running, running.client() as client:
        assert client.ask(b"MAIL FROM:<>\r\n")[:3] == "503"
        assert client.rest() == b"", "the flag behind it counts"


@row("negative numbers; a port over 65535")
@pytest.mark.parametrize(
    ("flag", "code", "message"),
    [
        ("-sessionTimeout=-1", 2, 'invalid value "-1" for flag -sessionTimeout: '),
        ("-responseDelayQuit=-1", 2, 'invalid value "-1" for flag -responseDelayQuit: '),
        ("-port=-1", 1, "Failed to start SMTP mock server on port: -1"),
        ("-port=65536", 1, "Failed to start SMTP mock server on port: 65536"),
    ],
)
def test_numbers_that_cannot_be(flag: str, code: int, message: str) -> None:
    done = run(flag)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[0]


@row("control characters in a logged line, and what ends a line or changes its direction (U+2028, U+202E)")
def test_control_characters() -> None:
    with daemon() as running, running.client() as client:
        client.ask(b"a\x1b[2J\x00b\rINFO: forged \x7f \xc2\x9b \xff \xc3\xa9\r\n")
        wait_for_line(running, r"SMTP request: a\x1b[2J\x00b\x0dINFO: forged \x7f \x9b " + "\udcff é")
        client.ask("a\u2028INFO: forged \u0085 \u202e".encode() + b" \x9b2J\r\n")
        wait_for_line(running, r"SMTP request: a\u2028INFO: forged \x85 \u202e \x9b2J")


@row(r"`-log` into a pipe whose reader has gone (`\| head -1`)")
@posix
def test_a_reader_of_the_log_that_has_gone() -> None:
    with daemon() as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.stdout = None
        for _ in range(2):
            assert_serves(running)


@row("a signal of a crash (SIGABRT, SIGSEGV and the like) from outside")
@posix
def test_a_signal_of_a_crash() -> None:
    with daemon() as running:
        running.signal(signal.SIGSEGV)
        code, _, errors = running.finish()
        assert (code, errors) == (-signal.SIGSEGV, [])


@row("signal 33, which the C library keeps for itself")
@linux
def test_a_signal_of_the_c_library() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        signal.signal(33, signal.SIG_IGN)
    with daemon() as running:
        running.signal(33)
        assert wait_for_exit(running) == -33


@row("too few descriptors, or too little memory, to start")
@linux
def test_too_little_to_start_with() -> None:
    """One number of descriptors; others, and memory, are in tests/faults/test_start.py."""
    with limited(PROGRAM, "RLIMIT_NOFILE", 7, "-port=0") as process:
        errors = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == 1
    assert re.fullmatch(f"{STAMP} Failed to start SMTP mock server on port: 0: too many open files\n", errors)


@row("`-v` where stdout is closed or full")
@posix
def test_a_version_that_cannot_be_written() -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "-v"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@row("a client that goes on writing after the server has closed")
def test_a_client_that_goes_on_writing() -> None:
    with Server() as server, Client(server.port_number) as client:
        client.send(b"QUIT\r\n")
        assert client.rest() == b"221 Closing connection\r\n"
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            write_on(client)
        assert 1 < time.monotonic() - begun < 2 + MARGIN


def write_on(client: Client) -> None:
    """A byte now and then, until that fails."""
    for _ in range(1000):
        client.send(b"x")
        continue_after_a_moment()


@row("`-sessionTimeout` in a body")
def test_timeout_in_a_body() -> None:
    with Server(Configuration(session_timeout=2)) as server, Client(server.port_number) as client:
        client.send(ENVELOPE)
        assert [client.read() for _ in range(3)] == ["250 Received"] * 3
        a_second_passes()
        assert client.ask(b"DATA\r\n")[:3] == "354"
        a_second_passes()
        assert client.ask(b"x\r\n.\r\n") == "250 Received", "more than 2 s after DATA was awaited"


@row("a reply of several lines, in the log")
def test_a_reply_of_several_lines() -> None:
    with daemon("-msgNoopReceived=250-one\r\n250 two") as running, running.client() as client:
        client.ask(b"NOOP\r\n")
        wait_for_line(running, "SMTP response: 250-one")
        wait_for_line(running, "SMTP response: 250 two")


@row("a forced stop, in the log")
@posix
def test_a_forced_stop() -> None:
    with daemon("-shutdownTimeout=1") as running, running.client(), running.client():
        running.signal(signal.SIGTERM)
        assert running.finish()[1][-3:] == ["INFO: SMTP session finished"] * 2 + [FORCED]


@row("the log on a full disk")
def test_log_on_a_full_disk() -> None:
    """What it says once there is room is in tests/faults/test_disk.py."""
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with FULL.open("wb", buffering=0) as full, Daemon(stdout=full) as running, connected(running.port):
        wait_for_error(running, "ERROR: write stdout: no space left on device")


@row("`-log` where `-messagesFile` and stdout are the same file (`/dev/stdout`)")
@posix
def test_messages_on_stdout() -> None:
    with Daemon("-messagesFile=/dev/stdout") as running:
        assert running.process.stdout is not None
        with connected(running.port) as client:
            client.send(b"QUIT\r\n")
            client.rest()
        assert json.loads(running.process.stdout.readline())["quit_sent"]
        running.signal(signal.SIGTERM)
        out, err = running.process.communicate(timeout=PATIENCE)
    assert out == b""
    assert "INFO: SMTP session finished" in log_texts(err)


@row("messages of the binary")
def test_messages_of_the_binary() -> None:
    if not procfs.is_here():
        pytest.skip("this system does not tell a process's memory in /proc")
    ten_megabytes = b"x" * 10_000_000 + b"\r\n.\r\n"
    with daemon() as running:
        for number in range(12):
            with running.client() as client:
                client.send(ENVELOPE + b"DATA\r\n" + ten_megabytes + b"QUIT\r\n")
                assert client.rest().endswith(b"221 Closing connection\r\n")
            if number == 1:
                before = procfs.resident(peer(running))
        assert procfs.resident(peer(running)) - before < 50_000_000


@row("a [variable](#flags) that sets a flag, as `SMTPMOCK_PORT`")
def test_a_variable_that_sets_a_flag() -> None:
    done = run("-log", env=os.environ | {"SMTPMOCK_PORT": "99999"})
    assert (done.returncode, done.stderr.endswith("Failed to start SMTP mock server on port: 99999\n")) == (1, True)


def test_readme_has_a_row_for_each() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme.split("## Better on purpose")[1].split("\n## ")[0]
    assert re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[2:] == list(ROWS)
