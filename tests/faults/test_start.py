"""Starts on a machine that lacks something: a free port, IPv6, descriptors, memory, or a stream to write to."""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server, ServerStartError
from tests import unix
from tests.frozen.processes import linux
from tests.helpers import PATIENCE, PROGRAM, ROOT, Client, daemon, free_port
from tests.test_cli import LOG_STAMP, STAMP, continue_after_a_moment, posix, run

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


STUCK = 3
"""Seconds of a processor: many times what a start takes."""
FAILED = rf"({STAMP} )?Failed to start (SMTP mock server|HTTP API)( on port: \d+)?: "
"""The one line, whose stamp takes memory too, up to the reason."""


@contextmanager
def limited(program: Sequence[str], limit: str, value: int, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program with less of something, by its name in resource; it is gone afterwards.

    It is killed once it has taken STUCK seconds of a processor.
    """

    def set_limits() -> None:
        unix.resource.setrlimit(unix.resource.RLIMIT_CPU, (STUCK, STUCK))
        unix.resource.setrlimit(getattr(unix.resource, limit), (value, value))

    pipe = subprocess.PIPE
    with subprocess.Popen([*program, *flags], cwd=ROOT, stdout=pipe, stderr=pipe, preexec_fn=set_limits) as process:
        try:
            yield process
        finally:
            process.kill()


def client_of(process: subprocess.Popen[bytes], port: int) -> Client | None:
    """A client that was greeted, once the program listens; None where it has ended instead."""
    for _ in range(1000):
        if process.poll() is not None:
            return None
        with suppress(ConnectionError):  # it does not listen yet, or any more
            client = Client(port, greeted=False)
            with suppress(ConnectionError):
                if client.read() == "220 Welcome":
                    return client
            client.close()
        continue_after_a_moment()
    raise TimeoutError


def serves_or_says_why(program: Sequence[str], descriptors: int, *flags: str) -> bool:
    """Whether the program serves one client after the other, with so few; else it says in one line why not."""
    port = free_port()
    with limited(program, "RLIMIT_NOFILE", descriptors, f"-port={port}", *flags) as process:
        for _ in range(3):
            client = client_of(process, port)
            if client is None:
                break
            with client:
                client.send(RARE + b"QUIT\r\n")
                assert client.rest().splitlines()[-1].endswith(b" Closing connection")
        process.terminate()
        errors = process.communicate(timeout=PATIENCE)[1].decode()
    if process.returncode == 0:
        assert errors == ""
        return True
    assert process.returncode == 1
    assert re.fullmatch(FAILED + r".*too many open files\n", errors, re.IGNORECASE)
    return False


RARE = b"EHLO [IPv6:::1]\r\n"
"""Which needs a module that hardly any session needs, and a descriptor to load it."""
FEW = range(5, 20)
"""Descriptors; with fewer, the interpreter does not get as far as our first line."""


@linux
@pytest.mark.parametrize("flags", [(), ("-httpPort=0",), ("-esmtp", "-authRequired")], ids=str)
def test_with_few_descriptors_it_serves_or_says_why_not(flags: tuple[str, ...]) -> None:
    serving = [serves_or_says_why(PROGRAM, descriptors, *flags) for descriptors in FEW]
    assert serving == sorted(serving), "from some number on it does"
    assert serving[0] is False
    assert serving[12 - FEW[0]] is True


EMBEDDED = """
import os, resource, selectors
from smtpmock_cli import Configuration, Server, ServerStartError
settings = Configuration(http_port=0)
Server(settings).start()
spare = os.dup(0)
os.close(spare)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
opened = set(os.listdir("/proc/self/fd"))
needed = 6 if selectors.DefaultSelector is selectors.SelectSelector else 7
for count in range(needed):
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + count, limit[1]))
    try:
        Server(settings).start()
        print(count, "started")
    except ServerStartError as error:
        assert isinstance(error.__cause__, OSError)
        print(count, error)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert set(os.listdir("/proc/self/fd")) == opened, count
resource.setrlimit(resource.RLIMIT_NOFILE, (spare + needed, limit[1]))
Server(settings).start()
"""


@linux
def test_a_server_that_lacks_descriptors_gives_back_those_that_it_took() -> None:
    """It needs one for the selector (select() has none), two to wake it, two to listen, two for its first client."""
    done = subprocess.run([sys.executable, "-c", EMBEDDED], capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == (6 if issubclass(selectors.DefaultSelector, selectors.SelectSelector) else 7)
    assert all(re.fullmatch(r"\d Failed to start .* on port: 0: too many open files", line) for line in lines)


def without_memory(program: Sequence[str], *flags: str) -> list[str]:
    """What the program says with less and less address space, in one line each time, until it gets to say nothing."""
    said: list[str] = []
    for power in count(last_with_enough(program, *flags)):
        errors = starting_with(program, address_space(power), *flags)
        if "Failed to start" not in errors:  # the interpreter, or PyInstaller's bootloader, cannot start itself
            assert not OURS.search(errors), errors
            break
        assert errors.count("\n") == 1, errors
        said.append(errors)
    return said


def last_with_enough(program: Sequence[str], *flags: str) -> int:
    """A power up to which it does not run short; it is one of the last, because before that all starts are alike."""
    powers = range(0, 1000, 5)
    return next(
        power
        for power, behind in pairwise(powers)
        if not re.fullmatch(ENOUGH, starting_with(program, address_space(behind), *flags))
    )


def address_space(power: int) -> int:
    """In bytes, each time a little less."""
    return int(ENOUGH_MEMORY * 0.98**power)


def starting_with(program: Sequence[str], size: int, *flags: str) -> str:
    """What the program says with so many bytes of address space; nothing where it gets stuck."""
    with limited(program, "RLIMIT_AS", size, "-port=99999", *flags) as process:
        errors = process.communicate(timeout=PATIENCE)[1].decode(errors="replace")
    if process.returncode == -unix.signal.SIGKILL:  # an interpreter that cannot even keep an error tries so for ever
        return ""
    assert process.returncode != 0
    assert process.returncode == 1 or "Failed to start" not in errors
    return errors


OURS = re.compile(r'File "(.*/smtpmock_cli/|smtpmock_cli\.|start_hook|boot_hook)')
"""A line of a traceback that leads through our code, frozen or not."""
ENOUGH_MEMORY = 40_000_000
ENOUGH = rf"{STAMP} Failed to start SMTP mock server on port: 99999\n"
"""What it says with so many bytes."""


def assert_says_that_memory_is_short(said: Sequence[str]) -> None:
    assert re.fullmatch(ENOUGH, said[0])
    short = [line for line in said if not re.fullmatch(ENOUGH, line)]
    assert len(short) > 4
    assert any(line.endswith("Failed to start SMTP mock server: out of memory\n") for line in short)


@linux
@pytest.mark.parametrize("flags", [(), ("-esmtp",)], ids=str)
def test_with_little_memory_it_says_why_it_cannot_start(flags: tuple[str, ...]) -> None:
    assert_says_that_memory_is_short(without_memory(PROGRAM, *flags))


FULL = "/dev/full"
FLAGS_AND_CODES = [(["-h"], 0), (["-foo"], 2), (["word"], 2), (["-port=99999"], 1), (["-v", "-port=1"], 1)]


@posix
@pytest.mark.parametrize(("flags", "code"), FLAGS_AND_CODES, ids=str)
@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", ">&- 2>&-", ">&- 2>/dev/full"])
def test_without_a_stream_to_speak_to_the_exit_code_speaks(flags: list[str], code: int, streams: str) -> None:
    assert_has_full_device(streams)
    done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *PROGRAM, *flags], cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == code


def assert_has_full_device(streams: str) -> None:
    if FULL in streams and not Path(FULL).exists():
        pytest.skip("this system has no /dev/full")


@posix
@pytest.mark.parametrize(
    ("stream", "reason"), [(">/dev/full", "no space left on device"), (">&-", "bad file descriptor")]
)
def test_a_version_that_cannot_be_written_is_one_clear_error(stream: str, reason: str) -> None:
    assert_has_full_device(stream)
    command = ["sh", "-c", f'exec "$@" {stream}', "sh", *PROGRAM, "-v"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert re.fullmatch(f"{STAMP} Failed to write the version: {reason}\n", done.stderr)


@posix
def test_a_version_that_nobody_reads_is_one_too() -> None:
    with subprocess.Popen([*PROGRAM, "-v"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        errors = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == 1
    assert re.fullmatch(f"{STAMP} Failed to write the version: broken pipe\n", errors)
