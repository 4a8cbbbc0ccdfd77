"""The files for others to read: messages and ports."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server, ServerStartError
from tests import unix
from tests.control.web import ask, send_mail, send_mails
from tests.helpers import ENVELOPE, PATIENCE, TRANSACTION, Client, Daemon, daemon
from tests.test_cli import run

FULL = Path("/dev/full")


def records(path: Path, *, while_written: bool = False) -> list[Any]:
    """The file's records; what ends with a line feed has to be whole."""
    *lines, rest = path.read_bytes().split(b"\n")
    # A kernel may show a write page by page: what has no line feed yet is none of the reader's business.
    assert rest == b"" or while_written
    return [json.loads(line) for line in lines]


def send(running: Daemon, count: int = 1) -> None:
    for _ in range(count):
        with running.client() as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            assert client.rest().endswith(b"221 Closing connection\r\n")


def test_a_line_for_each_record(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with Server(Configuration(messages_file=str(path))) as server:
        assert records(path) == []
        send_mail(server, "one")
        Client(server.port_number).close()
        kept = server.wait_for_messages(2, PATIENCE)
    assert records(path) == [message.as_json() for message in kept]
    assert [record["is_consistent"] for record in records(path)] == [True, False]


def test_chunks_are_counted_in_the_file_and_over_http(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    settings = Configuration(extensions=["CHUNKING"], messages_file=str(path), http_port=0)
    with Server(settings) as server:
        with Client(server.port_number) as client:
            client.send(ENVELOPE.replace(b"HELO", b"EHLO") + b"BDAT 2\r\nabBDAT 1\r\ncBDAT 0 LAST\r\nQUIT\r\n")
            client.rest()
        assert [record["chunks"] for record in records(path)] == [3]
        assert ask(server, "/smtpmock/messages/1").json["chunks"] == 3


def test_it_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    path.write_text('{"id": 0}\n')
    with daemon(f"-messagesFile={path}") as running:
        send(running, 2)
        assert [record["id"] for record in records(path)] == [0, 1, 2]


def test_it_is_made_anew_where_it_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with daemon(f"-messagesFile={path}") as running:
        send(running)
        path.unlink()
        send(running)
        assert [record["id"] for record in records(path)] == [2]


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with Server(Configuration(messages_file=str(path))) as server:
        sender = threading.Thread(target=send_mails, args=(server, 100))
        sender.start()
        seen: list[Any] = []
        while sender.is_alive():
            now = records(path, while_written=True)
            assert [record["id"] for record in now] == list(range(1, len(now) + 1))
            assert len(now) >= len(seen)
            seen = now
        sender.join()
    assert [record["id"] for record in records(path)] == list(range(1, 101))


@pytest.mark.parametrize("flag", ["messagesFile", "portFile"])
@pytest.mark.parametrize(
    ("name", "reason"), [("no/such/folder/file", "no such file or directory"), ("", "is a directory")]
)
def test_a_path_that_cannot_be_written(tmp_path: Path, flag: str, name: str, reason: str) -> None:
    path = tmp_path / name
    done = run(f"-{flag}={path}", "-log")
    what = {"messagesFile": "messages file", "portFile": "port file"}[flag]
    if os.name == "nt" and (flag, name) == ("messagesFile", ""):
        reason = "permission denied"  # is what Windows says of a folder
    error = f"Failed to write {what} {path}: {reason}"
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("ERROR: ")
    assert first.endswith(error)
    assert second.endswith(error)
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_a_nul() -> None:
    for field in ("messages_file", "port_file"):
        with pytest.raises(ServerStartError, match="Failed to write"):
            Server(Configuration(**{field: "a\0b"})).start()  # type: ignore[arg-type]


def test_a_server_that_did_not_start_can_be_started(tmp_path: Path) -> None:
    server = Server(Configuration(port_file=str(tmp_path / "later" / "ports")))
    with pytest.raises(ServerStartError):
        server.start()
    (tmp_path / "later").mkdir()
    with server:
        assert (tmp_path / "later" / "ports").exists()


def test_a_full_disk_is_told_once_and_serving_goes_on() -> None:
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with daemon(f"-messagesFile={FULL}") as running:
        send(running, 3)
        running.signal(signal.SIGTERM)
        code, _, errors = running.finish()
    assert code == 0
    assert errors == [f"ERROR: write {FULL}: {text}" for text in ("no space left on device", "3 messages are missing")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_what_does_not_fit_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    limit = (3000, 3000)
    with daemon(
        f"-messagesFile={path}", preexec_fn=lambda: unix.resource.setrlimit(unix.resource.RLIMIT_FSIZE, limit)
    ) as running:
        send(running, 5)
        running.signal(signal.SIGTERM)
        _, _, errors = running.finish()
    whole = len(records(path))
    assert 1 <= whole < 4
    assert errors == [
        f"ERROR: write {path}: {text}" for text in ("file too large", f"{5 - whole} messages are missing")
    ]


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with daemon(f"-messagesFile={folder}/file") as running:
        (folder / "file").unlink()
        folder.rmdir()
        send(running, 2)
        running.signal(signal.SIGTERM)
        code, _, errors = running.finish()
    assert code == 0
    said = ("no such file or directory", "2 messages are missing")
    assert errors == [f"ERROR: write {folder}/file: {text}" for text in said]


def wait_for_ports(running: Daemon, path: Path) -> None:
    """The file comes last: whoever waits for it can use what it names."""
    while not path.exists():
        assert running.process.poll() is None


@pytest.mark.parametrize("with_http", [False, True])
def test_ports_while_it_listens(tmp_path: Path, with_http: bool) -> None:
    path = tmp_path / "ports.json"
    with daemon(f"-portFile={path}", *(["-httpPort=0"] if with_http else [])) as running:
        assert running.process.stdout is not None
        if with_http:
            running.process.stdout.readline()
        wait_for_ports(running, path)
        ports = json.loads(path.read_text())
        assert ports["smtp"] == running.port
        assert isinstance(ports["http"], int) == with_http
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_ports_of_another_server_stay(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    with Server(Configuration(port_file=str(path))):
        with Server(Configuration(port_file=str(path))) as second:
            pass
        assert not path.exists()
        path.write_text('{"smtp": 1, "http": null}\n')
    assert path.exists()
    assert second.http_port_number is None


def test_no_ports_where_it_cannot_listen(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    with Server() as other:
        done = run(f"-port={other.port_number}", f"-portFile={path}")
        assert done.returncode == 1
        done = run(f"-httpPort={other.port_number}", f"-portFile={path}")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"Failed to start HTTP API on port: {other.port_number}")
    assert not path.exists()


@pytest.fixture
def ports_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which a port file is written at first, where it is foreseen."""
    numbers = count()
    monkeypatch.setattr(os, "urandom", lambda length: next(numbers).to_bytes(length, "big"))
    return f".{0:016x}"


def write_ports(path: Path) -> Any:
    with Server(Configuration(port_file=str(path))) as server:
        ports = json.loads(path.read_text())
        assert ports == {"smtp": server.port_number, "http": None}
    return ports


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a privilege on Windows")
def test_a_link_that_was_planted_where_the_ports_are_written_first(tmp_path: Path, ports_name: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("precious")
    folder.mkdir()
    planted = [folder / ports_name, folder / f"ports.{os.getpid()}", folder / "ports"]
    for link in planted:
        link.symlink_to(victim)
    write_ports(folder / "ports")
    assert victim.read_text() == "precious"
    assert sorted(folder.iterdir()) == sorted(planted[:2]), "the link in the file's own place is replaced, as a file is"


def test_a_file_that_is_where_the_ports_are_written_first(tmp_path: Path, ports_name: str) -> None:
    (tmp_path / ports_name).write_text("somebody's")
    write_ports(tmp_path / "ports")
    assert [path.name for path in tmp_path.iterdir()] == [ports_name]
    assert (tmp_path / ports_name).read_text() == "somebody's"


@pytest.mark.usefixtures("ports_name")
def test_a_folder_where_every_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / f".{0:016x}").touch()
    with pytest.raises(ServerStartError, match="file exists"):
        Server(Configuration(port_file=str(tmp_path / "ports"))).start()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_ports_are_readable_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "ports"
    with daemon(f"-portFile={path}", umask=umask) as running:
        wait_for_ports(running, path)
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_ports_under_a_long_name(tmp_path: Path) -> None:
    write_ports(tmp_path / ("n" * 200))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_ports_that_do_not_fit_leave_nothing_behind(tmp_path: Path) -> None:
    done = run(
        f"-portFile={tmp_path}/ports", preexec_fn=lambda: unix.resource.setrlimit(unix.resource.RLIMIT_FSIZE, (5, 5))
    )
    assert (done.returncode, done.stderr.rstrip()[20:]) == (
        1,
        f"Failed to write port file {tmp_path}/ports: file too large",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_ports_do_not_take_the_place_of_what_is_no_file(tmp_path: Path) -> None:
    unix.os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ServerStartError, match="not a regular file"):
            Server(Configuration(port_file=str(path))).start()
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("other", ["pipe", "link", "folder", "copy"])
def test_what_has_taken_the_place_of_the_ports_stays(tmp_path: Path, other: str) -> None:
    path, moved = tmp_path / "ports", tmp_path / "moved"
    with Server(Configuration(port_file=str(path))):
        path.rename(moved)
        if other == "pipe":
            unix.os.mkfifo(path)
        elif other == "link":
            path.symlink_to(moved)
        elif other == "folder":
            path.mkdir()
        else:
            path.write_bytes(moved.read_bytes())
    assert sorted(tmp_path.iterdir()) == [moved, path]
