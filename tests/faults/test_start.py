"""Starts on a machine that lacks something: a free port, or IPv6."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server, ServerStartError
from tests.helpers import PATIENCE, ROOT, Client, daemon, free_port
from tests.test_cli import LOG_STAMP, STAMP, run

WITHOUT_IPV6 = """
import errno, os, socket, sys
class Socket(socket.socket):
    def __init__(self, family=-1, *arguments, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *arguments, **options)
socket.socket = Socket
from smtpmock_cli.__main__ import main
sys.exit(main())
"""
"""The program on a kernel that was built or booted without it."""
PROGRAM_WITHOUT_IPV6 = (sys.executable, "-c", WITHOUT_IPV6)


@pytest.mark.parametrize("flag", ["port", "httpPort"])
@pytest.mark.parametrize("log", [False, True], ids=["", "log"])
def test_a_port_in_use_is_one_clear_error(flag: str, log: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = run(f"-{flag}={port}", f"-portFile={tmp_path}/ports.json", *(["-log"] if log else []))
    what = {"port": "SMTP mock server", "httpPort": "HTTP API"}[flag]
    error = f"Failed to start {what} on port: {port}\n"
    assert done.returncode == 1
    assert re.fullmatch((f"ERROR: {LOG_STAMP} {error}" if log else "") + f"{STAMP} {error}", done.stderr)
    assert ("started" in done.stdout) == (log and flag == "httpPort")
    assert list(tmp_path.iterdir()) == []


def test_an_http_port_in_use_leaves_the_smtp_port_free() -> None:
    """In a process that goes on, as a test suite's does."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = free_port()
        server = Server(Configuration(port_number=port, http_port=busy.getsockname()[1]))
        with pytest.raises(ServerStartError, match="HTTP API"):
            server.start()
        with socket.create_server(("127.0.0.1", port)):
            pass
        with pytest.raises(ServerStartError, match="HTTP API"):
            server.start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "localhost", "127.0.0.1", "[::ffff:127.0.0.1]"])
def test_without_ipv6_it_serves_ipv4(host: str) -> None:
    with daemon(f"-host={host}", program=PROGRAM_WITHOUT_IPV6) as running, Client(running.port) as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@pytest.mark.parametrize("flags", [["-host=::1"], ["-host=[::1]"], ["-httpPort=0", "-httpHost=::1"]])
def test_without_ipv6_an_address_of_it_is_one_clear_error(flags: list[str]) -> None:
    port = free_port()
    done = subprocess.run(
        [*PROGRAM_WITHOUT_IPV6, f"-port={port}", *flags], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    what = "HTTP API on port: 0" if "-httpPort=0" in flags else f"SMTP mock server on port: {port}"
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"{STAMP} Failed to start {what}\n", done.stderr)
