"""The messages file as a pipe, a socket or a terminal: its reader holds up nobody, and gets whole lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server, messages_file
from tests import unix
from tests.control.web import send_mails
from tests.frozen.processes import linux
from tests.helpers import ENVELOPE, PROGRAM, Daemon, daemon, log_texts
from tests.soak import procfs
from tests.test_cli import connected, posix, run
from tests.test_files import records

from .observed import BYE, MARGIN, assert_serves, observed, peer
from .test_unread_pipe import LINE

pytestmark = posix

LARGE = b"\xff" * 5_000_000 + b"\r\n"
"""A body of whose record, in base 64, a pipe takes a hundredth."""
MISSING = re.compile(r"(\d+) messages? (?:is|are) missing")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    unix.os.mkfifo(path)
    return path


def send(running: Daemon, *bodies: bytes) -> None:
    for body in bodies:
        with running.client() as client:
            client.send(ENVELOPE + b"DATA\r\n" + body + b".\r\nQUIT\r\n")
            assert client.rest().endswith(b"250 Received\r\n" + BYE)


class Reader:
    """Reads a pipe as slowly as it is told to."""

    def __init__(self, pipe: Path) -> None:
        self.fd = os.open(pipe, os.O_RDONLY)
        self._read = b""

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._read) < count:
            self._fill()
        read, self._read = self._read[:count], self._read[count:]
        return read

    def line(self) -> bytes:
        while b"\n" not in self._read:
            self._fill()
        line, _, self._read = self._read.partition(b"\n")
        return line

    def record(self) -> Any:
        return json.loads(self.line())

    def ids(self, count: int) -> list[int]:
        return [self.record()["id"] for _ in range(count)]

    def rest(self) -> bytes:
        """What still comes until nobody writes any more."""
        while data := os.read(self.fd, 65536):
            self._read += data
        return self._read

    def close(self) -> None:
        os.close(self.fd)

    def _fill(self) -> None:
        data = os.read(self.fd, 65536)
        assert data, "nobody writes any more"
        self._read += data


@contextmanager
def reading(pipe: Path) -> Iterator[Reader]:
    reader = Reader(pipe)
    try:
        yield reader
    finally:
        reader.close()


def stop(running: Daemon) -> list[str]:
    """SIGTERM ends it well; gives what is on its stderr."""
    running.signal(signal.SIGTERM)
    code, _, errors = running.finish()
    assert code == 0
    return errors


def test_a_reader_may_come_late_and_gets_all_in_order(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        send(running, b"one\r\n", b"two\r\n")
        with reading(pipe) as reader:
            assert reader.ids(2) == [1, 2]
            send(running, b"three\r\n")
            assert reader.ids(1) == [3]
            assert stop(running) == []
            assert reader.rest() == b""


def test_a_reader_that_was_first_sees_the_end_at_the_stop_and_not_before(pipe: Path) -> None:
    """As `cat pipe` does, which opens before anybody writes."""
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as cat, observed(f"-messagesFile={pipe}") as running:
        send(running, b"one\r\n", LARGE, b"three\r\n")
        assert cat.stdout is not None
        assert [json.loads(cat.stdout.readline())["id"] for _ in range(3)] == [1, 2, 3]
        assert cat.poll() is None
        assert stop(running) == []
        assert cat.stdout.read() == b""


def test_a_slow_reader_gets_whole_lines_and_holds_up_nobody(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running, reading(pipe) as reader:
        send(running, LARGE, b"two\r\n", LARGE, b"four\r\n")
        begun = reader.read(10)
        assert_serves(running)
        lines = [begun + reader.line(), *(reader.line() for _ in range(3))]
        assert [json.loads(line)["id"] for line in lines] == [1, 2, 3, 4]
        assert reader.ids(1) == [5]
        assert stop(running) == []


def test_a_line_that_was_begun_is_finished_though_no_other_comes(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running, reading(pipe) as reader:
        send(running, LARGE)
        assert len(reader.record()["msg_request"]) > len(LARGE)
        assert stop(running) == []


def test_a_reader_that_leaves_amid_a_line_takes_it_with_it(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        with reading(pipe) as reader:
            send(running, b"one\r\n", LARGE, b"three\r\n")
            assert reader.ids(1) == [1]
            reader.read(1_000_000)
        running.settle()
        send(running, b"four\r\n")
        with reading(pipe) as reader:
            assert reader.ids(2) == [3, 4]
            assert stop(running) == [
                f"ERROR: write {pipe}: its reader left in the middle of a message, which is missing"
            ]
            assert reader.rest() == b""


@linux
@pytest.mark.parametrize(("taken", "left"), [(0, [1, 2, 3]), (1, [2, 3]), (400, [2, 3]), (-1, [2, 3]), (-2, [3])])
def test_what_a_reader_has_left_in_the_pipe_is_for_the_next(pipe: Path, taken: int, left: list[int]) -> None:
    """A negative number is of whole lines, and then half of one."""
    with observed(f"-messagesFile={pipe}") as running:
        fd = os.open(pipe, os.O_RDONLY)
        send(running, b"one\r\n", b"two\r\n", b"three\r\n")
        running.settle()
        whole = len(json.dumps(running.messages(3)[0])) + 1
        os.read(fd, {-1: whole, -2: whole + 7}.get(taken, taken))
        os.close(fd)
        running.settle()
        with reading(pipe) as reader:
            assert reader.ids(len(left)) == left
            errors = stop(running)
            assert reader.rest() == b""
    is_broken = taken not in (0, -1)
    assert errors == [f"ERROR: write {pipe}: its reader left in the middle of a message, which is missing"] * is_broken


def test_readers_come_and_go(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        for number in range(1, 6):
            with reading(pipe) as reader:
                send(running, b"%d\r\n" % number)
                assert reader.ids(1) == [number]
            running.settle()
        assert stop(running) == []


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_what_nobody_has_read_is_counted_at_the_stop(pipe: Path, sent: int) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        send(running, *[b"x\r\n"] * sent)
        begun = time.monotonic()
        errors = stop(running)
        assert time.monotonic() - begun < MARGIN
    assert len(errors) == bool(sent)
    assert [MISSING.findall(error) for error in errors] == [[str(sent)]] * bool(sent)


def test_a_reader_that_does_not_read_does_not_hold_up_the_stop(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running, reading(pipe) as reader:
        send(running, LARGE, b"two\r\n")
        begun = time.monotonic()
        errors = stop(running)
        assert time.monotonic() - begun < 1 + MARGIN
        assert errors == [f"ERROR: write {pipe}: 2 messages are missing, because nobody read them"]
        assert not reader.rest().endswith(b"\n")


def test_without_a_log_it_is_said_too(pipe: Path) -> None:
    with Daemon(f"-messagesFile={pipe}", "-log=false") as running, connected(running.port) as client:
        client.close()
        assert stop(running) == [f"ERROR: write {pipe}: 1 message is missing, because nobody read them"]


def test_what_waits_is_bounded_and_what_is_lost_is_counted(
    pipe: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(messages_file, "WAITING_LIMIT", 100_000)
    with Server(Configuration(messages_file=str(pipe))) as server:
        send_mails(server, 200)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as cat:
            said = wait_for_said(capfd, "because nobody read them")
            send_mails(server, 1)
            server.stop()
            assert cat.stdout is not None
            *kept, last = [json.loads(line)["id"] for line in cat.stdout]
        server.start()
    assert kept == list(range(1, len(kept) + 1))
    assert 100_000 < len(kept) * 1000 < 120_000
    assert last == 201
    assert log_texts(said.encode()) == [
        f"ERROR: write {pipe}: 0 MiB wait for its reader, and messages are missing from now on",
        f"ERROR: write {pipe}: {200 - len(kept)} messages are missing, because nobody read them",
    ]


def wait_for_said(capfd: pytest.CaptureFixture[str], text: str) -> str:
    """All of stderr, once this is there."""
    said = ""
    while text not in said:
        said += capfd.readouterr().err
    return said


@linux
def test_a_pipe_that_nobody_reads_costs_a_bounded_memory(pipe: Path) -> None:
    bodies = 40
    with daemon(f"-messagesFile={pipe}") as running:
        send(running, LARGE)
        before = procfs.resident(peer(running))
        send(running, *[LARGE] * (bodies - 1))
        assert procfs.resident(peer(running)) - before < messages_file.WAITING_LIMIT + 5 * len(LARGE)
        assert bodies * len(LARGE) > 2 * (messages_file.WAITING_LIMIT + 5 * len(LARGE))


def test_a_pipe_that_is_another_one_meanwhile(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        send(running, b"one\r\n")
        pipe.unlink()
        unix.os.mkfifo(pipe)
        send(running, b"two\r\n")
        with reading(pipe) as reader:
            assert reader.ids(2) == [1, 2]
            assert stop(running) == []


def test_a_pipe_that_is_a_file_meanwhile(pipe: Path) -> None:
    with observed(f"-messagesFile={pipe}") as running:
        send(running, b"one\r\n")
        pipe.unlink()
        send(running, b"two\r\n")
        assert [record["id"] for record in records(pipe)] == [1, 2]
        assert stop(running) == []


def test_a_file_that_is_a_pipe_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "messages"
    with observed(f"-messagesFile={path}") as running:
        send(running, b"one\r\n")
        path.unlink()
        unix.os.mkfifo(path)
        send(running, b"two\r\n")
        with reading(path) as reader:
            assert reader.ids(1) == [2]
            assert stop(running) == []


@contextmanager
def spawned(stdout: int, *flags: str, **options: Any) -> Iterator[Daemon]:
    """A daemon whose stdout only this test reads; it writes its messages there."""
    with Daemon("-messagesFile=/dev/stdout", *flags, stdout=stdout, **options) as running:
        with connected(running.port) as client:
            client.send(b"QUIT\r\n")
            client.rest()
        yield running


def lines_until_end(fd: int) -> list[bytes]:
    """All lines, each of them whole."""
    read = b""
    with suppress(OSError):  # a terminal's end
        while data := os.read(fd, 65536):
            read += data
    *lines, rest = read.split(b"\n")
    assert rest == b""
    return lines


def stopped(running: Daemon, fd: int) -> tuple[list[int], list[str]]:
    """The ids of the messages on stdout, which carries nothing else, and the log on stderr."""
    running.signal(signal.SIGTERM)
    lines = lines_until_end(fd)
    assert running.process.wait(MARGIN) == 0
    assert running.process.stderr is not None
    return [json.loads(line)["id"] for line in lines], log_texts(running.process.stderr.read())


with_and_without_log = pytest.mark.parametrize("log", [False, True])


@with_and_without_log
def test_stdout_that_is_a_pipe(log: bool) -> None:
    """However slow its reader."""
    reader, writer = os.pipe()
    with spawned(writer, f"-log={log}") as running:
        os.close(writer)
        send(running, LARGE, b"three\r\n", LARGE[:200_000] + b"\r\n")
        ids, logged = stopped(running, reader)
    os.close(reader)
    assert ids == [1, 2, 3, 4]
    assert ("INFO: SMTP mock server was stopped successfully" in logged) == log


@with_and_without_log
def test_stdout_that_is_a_file(tmp_path: Path, log: bool) -> None:
    """Not opened for appending, as with the shell's ``>``."""
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    with spawned(fd, f"-log={log}") as running:
        os.close(fd)
        send(running, b"two\r\n", b"three\r\n")
        assert any("SMTP session finished" in line for line in stop(running)) == log
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == [1, 2, 3]


@with_and_without_log
def test_stdout_that_is_a_file_called_by_its_own_name(tmp_path: Path, log: bool) -> None:
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    with spawned(fd, f"-messagesFile={path}", f"-log={log}") as running:
        os.close(fd)
        assert any("SMTP session finished" in line for line in stop(running)) == log
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == [1]


@with_and_without_log
def test_stdout_that_is_a_socket(log: bool) -> None:
    """As Node has it for the programs that it starts; none of that kind can be opened."""
    ours, theirs = socket.socketpair()
    with ours, spawned(theirs.fileno(), f"-log={log}") as running:
        theirs.close()
        send(running, LARGE, b"three\r\n")
        ids, logged = stopped(running, ours.fileno())
    assert ids == [1, 2, 3]
    assert any("SMTP session finished" in line for line in logged) == log


@with_and_without_log
def test_stdout_that_is_a_terminal(log: bool) -> None:
    user, theirs = unix.os.openpty()
    unix.tty.setraw(theirs)
    with spawned(theirs, f"-log={log}") as running:
        os.close(theirs)
        send(running, LARGE[-300_002:], b"three\r\n")
        ids, logged = stopped(running, user)
    os.close(user)
    assert ids == [1, 2, 3]
    assert any("SMTP session finished" in line for line in logged) == log


@pytest.mark.skipif(os.name == "nt" or unix.os.geteuid() != 0, reason="needs root, to give a pipe to another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (Debian's util-linux)")
@with_and_without_log
def test_stdout_of_another_user(log: bool) -> None:
    """As a container's engine may pass it to an unprivileged program, which can write to it but not open it."""
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    reader, writer = os.pipe()
    unix.os.fchown(writer, 65534, 65534)
    with spawned(writer, f"-log={log}", program=[*unprivileged, *PROGRAM]) as running:
        os.close(writer)
        send(running, LARGE, b"three\r\n")
        ids, logged = stopped(running, reader)
    os.close(reader)
    assert ids == [1, 2, 3]
    assert any("SMTP session finished" in line for line in logged) == log


def test_stdout_and_stderr_that_are_one_pipe() -> None:
    """Messages and log come in one stream, as ``docker logs`` shows them: whole lines of each."""
    reader, writer = os.pipe()
    with spawned(writer, stderr=writer) as running:
        os.close(writer)
        send(running, LARGE, b"three\r\n")
        running.signal(signal.SIGTERM)
        lines = lines_until_end(reader)
        assert running.process.wait(MARGIN) == 0
    os.close(reader)
    logged = [line.decode() for line in lines if not line.startswith(b"{")]
    assert [line for line in logged if not LINE.fullmatch(line)] == []
    assert logged
    assert [json.loads(line)["id"] for line in lines if line.startswith(b"{")] == [1, 2, 3]


def test_a_log_that_is_not_the_messages_file_stays_on_stdout(tmp_path: Path) -> None:
    with daemon(f"-messagesFile={tmp_path}/messages") as running:
        send(running, b"one\r\n")
        running.signal(signal.SIGTERM)
        code, logged, errors = running.finish()
    assert (code, errors) == (0, [])
    assert "INFO: SMTP session finished" in logged


def test_stdout_that_nobody_reads_any_more() -> None:
    reader, writer = os.pipe()
    with spawned(writer, "-log=false") as running:
        os.close(writer)
        os.close(reader)
        send(running, b"two\r\n")
        assert_serves(running)
        assert MISSING.findall("".join(stop(running))) == ["3"]


def test_a_socket_of_somebody_else_is_an_error_at_the_start(tmp_path: Path) -> None:
    with socket.socket(unix.socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        done = run(f"-messagesFile={tmp_path}/socket")
    assert done.returncode == 1
    assert "Failed to write messages file" in done.stderr
