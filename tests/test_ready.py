"""``-ready``: what it asks, how it says what it heard, and that it is over within a second whoever it asks."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule, Server
from smtpmock_cli.ready import LIMIT, check
from tests import unix
from tests.certificates import Certificate
from tests.control.web import port as http_port
from tests.faults.observed import observed
from tests.faults.test_start import FEW, OURS, PROGRAM_WITHOUT_IPV6, address_space, limited
from tests.frozen.processes import linux
from tests.helpers import PATIENCE, PROGRAM, ROOT, Client, Daemon, daemon, free_port, log_texts
from tests.net.test_listener import LOOPBACK, ipv6
from tests.test_cli import posix, run, wait_for_line

__all__ = ["ipv6"]

WITHIN = f"within {LIMIT:g} s"
BARE = (sys.executable, "-I", "-S", "-c", "pass")
BUSY = 0.05
"""Seconds; where the bare interpreter takes longer to start, a second says little of the program."""


def smtp(server: Server, **more: Any) -> Configuration:
    return Configuration(port_number=server.port_number, **more)


def http(server: Server, **more: Any) -> Configuration:
    return Configuration(http_port=http_port(server), **more)


def fault(configuration: Configuration) -> str:
    """Why a server is not ready, behind what was asked; found out in time."""
    begun = time.monotonic()
    is_ready, line = check(configuration)
    assert time.monotonic() - begun < 1
    assert (is_ready, line[:11]) == (False, "not ready: ")
    return re.sub(r"^(smtps?|http)://\S+: ", "", line[11:])


def assert_refused(said: str) -> None:
    """Windows uses other words, or tries for two seconds."""
    assert said == "connection refused" or (os.name == "nt" and said)


def assert_ready(configuration: Configuration, place: str) -> None:
    assert check(configuration) == (True, f"ready: {place}")


# Over HTTP.


def test_it_asks_the_http_side_where_there_is_one() -> None:
    with Server(Configuration(http_port=0)) as server:
        assert_ready(http(server, port_number=1), f"http://127.0.0.1:{http_port(server)}/readyz")
        assert server.messages() == []


EVERYWHERE = ["0.0.0.0", "::", "[::]", "0"]


@pytest.mark.parametrize("host", EVERYWHERE)
def test_every_interface_is_asked_on_loopback(host: str) -> None:
    with Server(Configuration(host_address=host, http_port=0, http_host=host)) as server:
        assert_ready(http(server, http_host=host), f"http://127.0.0.1:{http_port(server)}/readyz")
        assert_ready(smtp(server, host_address=host), f"smtp://127.0.0.1:{server.port_number}")


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "[127.0.0.1]", "::ffff:127.0.0.1", "127.1"])
def test_a_host_is_asked_where_the_server_listens(host: str) -> None:
    with Server(Configuration(host_address=host, http_port=0, http_host=host)) as server:
        assert_ready(http(server, http_host=host), f"http://127.0.0.1:{http_port(server)}/readyz")
        assert_ready(smtp(server, host_address=host), f"smtp://127.0.0.1:{server.port_number}")


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", f"[::1%{LOOPBACK}]", "[0:0:0:0:0:0:0:1]"])
def test_an_address_of_ipv6(host: str) -> None:
    with Server(Configuration(host_address=host, http_port=0, http_host=host)) as server:
        assert_ready(http(server, http_host=host), f"http://[::1]:{http_port(server)}/readyz")
        assert_ready(smtp(server, host_address=host), f"smtp://[::1]:{server.port_number}")


@pytest.mark.parametrize("host", EVERYWHERE)
def test_every_interface_of_a_machine_without_ipv6(host: str) -> None:
    with daemon(f"-host={host}", program=PROGRAM_WITHOUT_IPV6) as running:
        assert_ready(Configuration(host_address=host, port_number=running.port), f"smtp://127.0.0.1:{running.port}")


@posix
def test_a_server_that_is_stopping_is_not_ready() -> None:
    with observed("-shutdownTimeout=20") as running, running.client() as client:
        client.envelope()
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        running.settle()  # the first request has the HTTP side loaded, which a busy machine takes its time for
        asked = Configuration(http_port=running.http_port)
        assert fault(asked) == "answered 'HTTP/1.1 503'"
        assert_refused(fault(Configuration(port_number=running.port)))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 'HTTP/1.1 404 Not Found'"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "answered 'HTTP/1.1 2000 OK'"),
        (b"220 Welcome\r\n", "answered '220 Welcome'"),
        (b"\x1b]0;title\x07\xff\xe2\x80\xae\r\n", r"answered '\x1b]0;title\x07\\xff\u202e'"),
        (b"x" * 200 + b"\n", f"answered '{'x' * 100}'"),
        (b"HTTP/1.1 200", "no answer: eof"),
        (b"", "no answer: eof"),
        (b"x" * 100_000, "no answer: the line is too long"),
    ],
)
def test_what_answers_something_else_is_not_ready(answer: bytes, why: str) -> None:
    with saying(answer) as port:
        assert fault(Configuration(http_port=port)) == why


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\n", b"HTTP/1.1 200 \r\n"])
def test_the_status_line_is_enough(answer: bytes) -> None:
    with saying(answer) as port:
        assert_ready(Configuration(http_port=port), f"http://127.0.0.1:{port}/readyz")


# Over SMTP.


def test_a_probe_is_a_session_like_any_other(tmp_path: Path) -> None:
    with daemon(f"-messagesFile={tmp_path}/messages") as running:
        assert_ready(Configuration(port_number=running.port), f"smtp://127.0.0.1:{running.port}")
        assert_log_of_a_probe(running)
        assert '"quit_sent": true' in (tmp_path / "messages").read_text()


def assert_log_of_a_probe(running: Daemon, greeting: str = "220 Welcome") -> None:
    """The next lines of the log: no error among them, so that stderr stays empty."""
    assert running.process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "INFO: SMTP session finished":
        lines += log_texts(running.process.stdout.readline())
    assert [line for line in lines if "secured: TLS" not in line] == [
        "INFO: SMTP session started",
        f"INFO: SMTP response: {greeting}",
        "INFO: SMTP request: QUIT",
        "INFO: SMTP response: 221 Closing connection",
        "INFO: SMTP session finished",
    ]
    running.process.kill()
    assert running.finish()[1:] == ([], [])


@pytest.mark.parametrize("greeting", ["220 hi", "554 No SMTP service here", "421 Busy", "hello", "220", "299-x"])
def test_any_greeting_will_do(greeting: str) -> None:
    with daemon(f"-msgGreeting={greeting}") as running:
        asked = Configuration(port_number=running.port, msg_greeting=greeting)
        assert_ready(asked, f"smtp://127.0.0.1:{running.port}")
        assert_log_of_a_probe(running, greeting)


def test_a_greeting_that_is_not_utf_8(tmp_path: Path) -> None:
    greeting = "hall\udcf6chen"
    with Server(Configuration(msg_greeting=greeting)) as server:
        assert_ready(smtp(server, msg_greeting=greeting), f"smtp://127.0.0.1:{server.port_number}")


def test_with_as_many_sessions_as_there_may_be_it_is_ready() -> None:
    with Server(Configuration(max_connections=1)) as server, Client(server.port_number):
        assert_ready(smtp(server), f"smtp://127.0.0.1:{server.port_number}")


@pytest.mark.parametrize(
    "rule",
    [
        Rule(on="connect", reply="554 Go away", then="close"),
        Rule(on="connect", reply=["220-mx.example", "220 ready"], delay=0.1),
        Rule(on="connect", drip=100),
        Rule(on="quit", then="hang"),
        Rule(on="quit", then="reset"),
        Rule(on="quit", delay=30),
    ],
    ids=repr,
)
def test_a_greeting_by_a_rule(rule: Rule) -> None:
    with Server(Configuration(rules=[rule])) as server:
        begun = time.monotonic()
        assert_ready(smtp(server), f"smtp://127.0.0.1:{server.port_number}")
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Rule(on="connect", then="hang"), f"no greeting {WITHIN}"),
        (Rule(on="connect", delay=30), f"no greeting {WITHIN}"),
        (Rule(on="connect", drip=1), f"no greeting {WITHIN}"),
        (Rule(on="connect", then="close"), "no greeting: eof"),
        pytest.param(Rule(on="connect", then="reset"), os.strerror(errno.ECONNRESET).lower(), marks=posix),
    ],
    ids=repr,
)
def test_without_a_greeting_it_is_not_ready_but_the_http_side_knows(rule: Rule, why: str) -> None:
    with Server(Configuration(rules=[rule], http_port=0)) as server:
        assert fault(smtp(server)) == why
        assert_ready(http(server), f"http://127.0.0.1:{http_port(server)}/readyz")


def test_another_programs_greeting_is_none() -> None:
    with saying(b"SSH-2.0-OpenSSH_9.2\x1b[31m\r\n") as port:
        assert fault(Configuration(port_number=port)) == r"greeted with 'SSH-2.0-OpenSSH_9.2\x1b[31m'"


# Over TLS.


@pytest.mark.parametrize("flags", [["-tlsCert=CERT"], ["-tlsSelfSigned"]])
def test_implicit_tls_makes_its_handshake_whoever_has_issued_the_certificate(
    flags: list[str], certificate: Certificate
) -> None:
    given = [flag.replace("CERT", certificate.both) for flag in [*flags, "-tlsMode=implicit"]]
    with daemon(*given) as running:
        done = run("-ready", f"-port={running.port}", *given)
        assert (done.stdout, done.stderr, done.returncode) == (f"ready: smtps://127.0.0.1:{running.port}\n", "", 0)
        assert_log_of_a_probe(running)


@pytest.mark.parametrize("mode", ["starttls", "required"])
def test_other_tls_comes_behind_the_greeting(mode: str, certificate: Certificate) -> None:
    with Server(Configuration(tls_cert=certificate.both, tls_mode=mode)) as server:
        asked = smtp(server, tls_cert=certificate.both, tls_mode=mode)
        assert_ready(asked, f"smtp://127.0.0.1:{server.port_number}")


def test_implicit_tls_where_there_is_none(certificate: Certificate) -> None:
    more: dict[str, Any] = {"tls_cert": certificate.both, "tls_mode": "implicit"}
    with Server() as server:
        assert fault(smtp(server, **more)).startswith("TLS handshake: ")
    with Server(Configuration(**more)) as server:
        assert fault(smtp(server)) == f"no greeting {WITHIN}"
    with silent() as port:
        assert fault(Configuration(port_number=port, **more)) == f"no TLS handshake {WITHIN}"


# Ports from a file.


@pytest.fixture
def port_file(tmp_path: Path) -> str:
    return str(tmp_path / "ports.json")


def test_a_free_port_is_looked_up_in_the_port_file(port_file: str) -> None:
    with Server(Configuration(port_file=port_file)) as server:
        assert_ready(Configuration(port_file=port_file), f"smtp://127.0.0.1:{server.port_number}")
        assert fault(Configuration(port_file=port_file, http_port=0)) == f"port file {port_file}: no HTTP port"
    assert fault(Configuration(port_file=port_file)) == f"port file {port_file}: no such file or directory"


def test_a_free_http_port_is_looked_up_there_too(port_file: str) -> None:
    with Server(Configuration(port_file=port_file, http_port=0)) as server:
        url = f"http://127.0.0.1:{http_port(server)}/readyz"
        assert_ready(Configuration(port_file=port_file, http_port=0), url)
        assert_ready(http(server), url)
        assert_ready(Configuration(port_file=port_file), f"smtp://127.0.0.1:{server.port_number}")


@pytest.mark.parametrize("flag", ["-port", "-httpPort"])
def test_a_free_port_without_a_port_file_is_nobodys(flag: str) -> None:
    done = run("-ready", f"{flag}=0")
    why = f"not ready: {flag}=0 takes any free port, and no -portFile says which\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", why)


@pytest.mark.parametrize(
    "content", ["", "{", '{"smtp": 25}\n', '{"smtp": -1, "http": null}\n', "x" * 10_000, "[" * 999]
)
def test_a_file_that_no_server_has_written(content: str, port_file: str) -> None:
    Path(port_file).write_text(content)
    assert fault(Configuration(port_file=port_file)) == f"port file {port_file}: not that of a server"


def test_a_server_that_left_its_file_behind(port_file: str) -> None:
    Path(port_file).write_text(f'{{"smtp": {free_port()}, "http": null}}\n')
    assert_refused(fault(Configuration(port_file=port_file)))


@posix
@pytest.mark.parametrize("path", ["FIFO", "FOLDER", "/dev/zero", "no\0name"])
def test_a_port_file_that_is_no_file(path: str, tmp_path: Path) -> None:
    unix.os.mkfifo(tmp_path / "FIFO")
    (tmp_path / "FOLDER").mkdir()
    assert fault(Configuration(port_file=str(tmp_path / path))).startswith("port file ")


@posix
def test_a_port_files_name_keeps_its_bytes() -> None:
    done = subprocess.run(
        [*PROGRAM, "-ready", b"-portFile=/\xff\xc3\xa9/X"], cwd=ROOT, capture_output=True, timeout=PATIENCE
    )
    assert done.stderr == b"not ready: port file /\xff\xc3\xa9/X: no such file or directory\n"


# Within a second.


def test_where_nobody_listens() -> None:
    assert_refused(fault(Configuration(port_number=free_port())))
    assert_refused(fault(Configuration(http_port=free_port())))


def test_where_somebody_listens_and_says_nothing() -> None:
    with silent() as port:
        assert fault(Configuration(port_number=port)) == f"no greeting {WITHIN}"
        assert fault(Configuration(http_port=port)) == f"no answer {WITHIN}"


def test_where_an_answer_trickles() -> None:
    with trickling() as port:
        assert fault(Configuration(port_number=port)) == f"no greeting {WITHIN}"
        assert fault(Configuration(http_port=port)) == f"no answer {WITHIN}"


@linux
def test_where_no_connection_comes_about() -> None:
    """The queue of a listener is full: the system drops what else wants to connect."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
        assert fault(Configuration(port_number=listener.getsockname()[1])) == f"no connection {WITHIN}"


def test_an_address_that_is_out_of_reach() -> None:
    """RFC 5737: nobody's, which one network refuses and another loses."""
    assert fault(Configuration(host_address="192.0.2.1", port_number=25)) != ""


@pytest.mark.parametrize("host", ["no-such-host.invalid", "[::1", "a" * 70 + ".example", "x\0y", "\udcff"])
def test_a_host_that_is_none(host: str) -> None:
    assert fault(Configuration(host_address=host, port_number=25)) != ""


@pytest.mark.parametrize("port", [65536, 10**9, -1])
def test_a_port_that_is_none(port: int) -> None:
    assert fault(Configuration(port_number=port)) == "no such port"


STUCK_RESOLVER = """
import os, socket, sys
never, _ = os.pipe()
socket.getaddrinfo = lambda *_, **__: os.read(never, 1)
from smtpmock_cli.__main__ import main
sys.exit(main())
"""
"""The program on a machine whose name server does not answer: a call that nothing interrupts."""


def test_a_resolver_that_does_not_answer() -> None:
    arguments = [sys.executable, "-c", STUCK_RESOLVER, "-ready", "-host=mail.example", "-port=25"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    why = f"not ready: smtp://mail.example:25: no address {WITHIN}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", why)


def test_the_whole_program_takes_less_than_a_second() -> None:
    with silent() as port:
        taken = min(seconds(*PROGRAM, "-ready", f"-port={port}") for _ in range(3))
    if taken >= 1 and (bare := seconds(*BARE)) > BUSY:
        pytest.skip(f"too busy a machine: the bare interpreter takes {bare * 1000:.0f} ms, this {taken * 1000:.0f}")
    assert taken < 1


def seconds(*command: str) -> float:
    begun = time.monotonic()
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=PATIENCE)
    return time.monotonic() - begun


# The command.


@pytest.mark.parametrize("flag", ["-ready", "--ready", "-ready=true", "-ready=1"])
def test_one_line_on_stdout_and_0_or_one_on_stderr_and_1(flag: str) -> None:
    with Server() as server:
        port = server.port_number
        done = run(flag, f"-port={port}")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"ready: smtp://127.0.0.1:{port}\n", "")
    done = run(f"-port={port}", flag)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert_refused(done.stderr.removeprefix(f"not ready: smtp://127.0.0.1:{port}: ").rstrip())


def test_not_asked() -> None:
    done = run("-ready", "-ready=false", "-port=99999")
    assert (done.returncode, "Failed to start" in done.stderr) == (1, True)


def test_flags_and_variables_say_what_to_ask() -> None:
    with Server(Configuration(http_port=0)) as server:
        variables = os.environ | {
            "SMTPMOCK_HTTP_PORT": str(http_port(server)),
            "SMTPMOCK_PORT": str(server.port_number),
        }
        assert run("-ready", env=variables).stdout == f"ready: http://127.0.0.1:{http_port(server)}/readyz\n"
        variables["SMTPMOCK_HTTP_PORT"] = ""
        assert run("-ready", env=variables).stdout == f"ready: smtp://127.0.0.1:{server.port_number}\n"
        assert run("-ready", "-port=1", env=variables).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "first_line"),
    [
        (["-ready", "-port=a"], 'invalid value "a" for flag -port: parse error'),
        (["-ready=x"], 'invalid boolean value "x" for -ready: parse error'),
        (["-ready", "-foo"], "flag provided but not defined: -foo"),
        (["-ready", "word"], "unexpected argument: word"),
        (["-ready", "-tlsKey=key.pem"], "-tlsKey needs -tlsCert"),
        (["-ready", "-rules=/nowhere"], 'invalid value "/nowhere" for flag -rules: no such file or directory'),
    ],
)
def test_a_wrong_command_line_is_refused_as_always(arguments: list[str], first_line: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (2, "", first_line)


def test_a_wrong_variable_is_refused_as_always() -> None:
    done = run("-ready", env=os.environ | {"SMTPMOCK_PORT": "a"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_the_version_comes_first() -> None:
    assert run("-ready", "-v").stdout == run("-v").stdout


def test_nothing_is_written_for_an_answer(tmp_path: Path) -> None:
    run("-ready", "-port=1", f"-messagesFile={tmp_path}/messages", f"-portFile={tmp_path}/ports")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("streams", [">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_without_a_stream_to_speak_to_the_exit_code_speaks(streams: str) -> None:
    with Server() as server:
        for port, code in ((server.port_number, 0), (1, 1)):
            shell = ["sh", "-c", f'exec "$@" {streams}', "sh", *PROGRAM, "-ready", f"-port={port}"]
            assert subprocess.run(shell, cwd=ROOT, timeout=PATIENCE).returncode == code


@posix
def test_a_shells_loop_ends_once_the_server_is_ready() -> None:
    port = free_port()
    loop = f'until "$@" -ready -port={port}; do sleep 0.05; done'
    with subprocess.Popen(
        ["sh", "-c", loop, "sh", *PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == f"not ready: smtp://127.0.0.1:{port}: connection refused\n"
        with daemon(port=port):
            assert waiting.communicate(timeout=PATIENCE)[0] == f"ready: smtp://127.0.0.1:{port}\n"
    assert waiting.returncode == 0


@posix
def test_an_interrupt_is_deadly_so_that_a_shells_loop_ends_too() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        command = [*PROGRAM, "-ready", f"-port={server.getsockname()[1]}"]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as asking, server.accept()[0]:
            asking.send_signal(signal.SIGINT)
            assert asking.communicate(timeout=PATIENCE)[1] == b""
    assert asking.returncode == -signal.SIGINT


@linux
def test_with_few_descriptors_it_says_so_in_one_line() -> None:
    with Server() as server:
        codes = [asked_with(descriptors, server.port_number) for descriptors in FEW]
    assert codes == sorted(codes, reverse=True), "from some number on it can ask"
    assert codes[-1] == 0


def asked_with(descriptors: int, port: int) -> int:
    with limited(PROGRAM, "RLIMIT_NOFILE", descriptors, "-ready", f"-port={port}") as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (output + errors).count(b"\n") == 1, errors
    return process.returncode


@linux
def test_with_little_memory_it_says_so_in_one_line() -> None:
    said = [asked_within(address_space(power)) for power in range(0, 100, 10)]
    assert said[0] == "not ready: smtp://127.0.0.1:99999: no such port\n"
    assert any("can't start new thread" in line or "out of memory" in line for line in said)


def asked_within(size: int) -> str:
    """What it says with so many bytes of address space; nothing where the interpreter cannot start itself."""
    with limited(PROGRAM, "RLIMIT_AS", size, "-ready", "-port=99999") as process:
        errors = process.communicate(timeout=PATIENCE)[1].decode(errors="replace")
    if not ("not ready: " in errors or "Failed to start" in errors):
        assert not OURS.search(errors), errors
        return ""
    assert (process.returncode, errors.count("\n")) == (1, 1), errors
    return errors


def test_the_module_that_asks_asks_again() -> None:
    """A process that goes on, with a server that comes up meanwhile."""
    port = free_port()
    assert fault(Configuration(port_number=port)) != ""
    with Server(Configuration(port_number=port)) as server:
        assert_ready(smtp(server), f"smtp://127.0.0.1:{port}")


# Servers that are none of ours.


@contextmanager
def silent() -> Iterator[int]:
    """A port whose listener takes connections, and never a byte."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@contextmanager
def saying(answer: bytes) -> Iterator[int]:
    """A port where each client gets these bytes, and the end."""

    def say(sock: socket.socket) -> None:
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass

    with served(say) as port:
        yield port


@contextmanager
def trickling() -> Iterator[int]:
    """A port where each client gets a byte now and then, for as long as it stays."""

    def trickle(sock: socket.socket) -> None:
        sock.settimeout(0.05)
        while True:
            sock.sendall(b"2")
            with suppress(TimeoutError):
                if not sock.recv(4096):
                    return

    with served(trickle) as port:
        yield port


@contextmanager
def served(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose clients are served one after the other."""
    stopping = threading.Event()

    def accept() -> None:
        while True:
            sock, _ = server.accept()
            with closing(sock), suppress(OSError):
                if stopping.is_set():
                    return
                serve(sock)

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield port
        finally:
            stopping.set()
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            thread.join(PATIENCE)
            assert not thread.is_alive()
