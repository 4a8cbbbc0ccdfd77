"""One archive for every Linux: where its program runs, and what it says where it can't."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests import unix
from tests.faults.observed import wait_for_exit
from tests.helpers import PATIENCE, TRANSACTION, Client, Daemon, free_port
from tests.test_cli import STAMP, continue_after_a_moment

from . import chroots
from .chroots import NOBODY, Chroot
from .processes import assert_serves, linux, listening, processes_with, run
from .test_extensions import assert_mail_goes_in_by_tls

pytestmark = linux

LONGEST_PATH = 4096
"""Bytes of a path that Linux takes at once, with its end."""
HELO = b"HELO example.com\r\n"


@pytest.fixture
def copied(program: Path, tmp_path: Path) -> Path:
    """The program and its folder elsewhere, to be taken apart."""
    return copy(program, tmp_path / "copy")


def copy(program: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copytree(program.resolve().with_name("smtpmock-files"), folder / "smtpmock-files", symlinks=True)
    return Path(shutil.copy(program, folder))


@pytest.fixture
def chroot(program: Path, tmp_path: Path) -> Chroot:
    """A machine with an empty ``/proc``, and nothing else but the program."""
    if obstacle := chroots.obstacle():
        pytest.skip(obstacle)
    root = Chroot(tmp_path / "root")
    root.has(program)
    return root


# What there may be on a machine


def assert_serves_all(root: Chroot, *flags: str) -> None:
    """A mail goes in, and out again over HTTP; a signal ends it."""
    http_port = free_port()
    with root.listening(f"-httpPort={http_port}", *flags) as running:
        with running.client() as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()
        (message,) = messages(http_port)
        assert message["is_consistent"]
        running.signal(signal.SIGTERM)
        code, _, errors = running.finish()
    assert (code, errors) == (0, [])


def messages(http_port: int) -> list[dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=PATIENCE)
    connection.request("GET", "/smtpmock/messages?count=1")
    answer = json.load(connection.getresponse())
    connection.close()
    return list(answer["messages"])


def test_what_the_c_library_loads_by_itself_is_there(program: Path) -> None:
    """By chance only, at the end of a thread: without it, one end in twenty is an abort."""
    assert (program.resolve().with_name("smtpmock-files") / "libgcc_s.so.1").is_file()


def test_in_an_empty_root(chroot: Chroot) -> None:
    before = chroot.files()
    assert_serves_all(chroot)
    assert chroot.files() == before


def test_without_proc(chroot: Chroot) -> None:
    chroot.has_no_proc()
    assert_serves_all(chroot)


def test_on_a_read_only_root_as_nobody(chroot: Chroot) -> None:
    chroot.is_read_only()
    chroot.user = NOBODY
    assert_serves_all(chroot)


def test_a_certificate_is_made_on_a_read_only_root_as_nobody(chroot: Chroot) -> None:
    chroot.is_read_only()
    chroot.user = NOBODY
    http_port = free_port()
    with chroot.listening("-tlsSelfSigned", f"-httpPort={http_port}") as running:
        assert_mail_goes_in_by_tls(running, http_port, "starttls")


@pytest.mark.parametrize("hosts", [None, "10.9.8.7 elsewhere\n", "127.0.0.1 localhost\n"], ids=ascii)
def test_localhost_in_an_empty_root(chroot: Chroot, hosts: str | None) -> None:
    """With no name service of the machine's, and with the files of one."""
    if hosts is not None:
        (chroot.folder / "etc").mkdir()
        (chroot.folder / "etc/hosts").write_text(hosts)
    assert_serves_all(chroot, "-host=localhost", "-httpHost=localhost")


def test_names_in_an_empty_root(chroot: Chroot) -> None:
    """They come from its own files."""
    (chroot.folder / "etc").mkdir()
    (chroot.folder / "etc/hosts").write_text("127.0.0.1 mail.example\n")
    assert_serves_all(chroot, "-host=mail.example")


@pytest.fixture
def alpine(chroot: Chroot) -> Chroot:
    """A machine with musl's C library, and BusyBox's tools."""
    if obstacle := chroots.want_of_alpine():
        pytest.skip(obstacle)
    chroot.is_alpine("sh", "env")
    (chroot.folder / "usr/local/bin").mkdir(parents=True)
    (chroot.folder / "usr/local/bin/smtpmock").symlink_to("/opt/smtpmock")
    return chroot


def test_on_alpine(alpine: Chroot) -> None:
    assert_serves_all(alpine)


def test_on_alpine_a_sigkill_leaves_nothing(alpine: Chroot) -> None:
    """Started by name through its shell, as the gem does it."""
    before = alpine.files()
    port, mark = free_port(), f"MARK={alpine.folder}"
    shell = f"exec smtpmock -port={port} -log"
    command = alpine.command("/bin/env", mark, "PATH=/usr/local/bin", "/bin/sh", "-c", shell)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"started on port" in process.stdout.readline()
            assert processes_with(mark) == [process.pid]
            assert Path(f"/proc/{process.pid}/comm").read_text() == "smtpmock\n"
        finally:
            process.kill()
    assert processes_with(mark) == []
    assert alpine.files() == before
    with socket.create_server(("127.0.0.1", port)):
        pass


# Where it may be


@pytest.mark.parametrize("name", ["a b", "a:b", "a;b", "a$b", "a%sb", "new\nline", "\\", "\udcff\udcfe"], ids=ascii)
def test_its_folder_may_have_any_name(program: Path, tmp_path: Path, name: str) -> None:
    assert_serves(copy(program, tmp_path / name))


def test_its_path_may_be_very_long(program: Path, tmp_path: Path) -> None:
    longest = max(len(str(path)) for path in program.resolve().parent.rglob("*")) - len(str(program.resolve().parent))
    folder = tmp_path
    while (room := LONGEST_PATH - 1 - longest - len(str(folder)) - 1) > 0:
        folder /= "x" * min(room, 255)
    assert_serves(copy(program, folder))


def test_a_path_that_is_too_long_is_one_clear_error(program: Path, tmp_path: Path) -> None:
    """Where even /proc has no path for the program."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(LONGEST_PATH // 255 + 1):
            os.mkdir("x" * 255, dir_fd=folder)
            inner = os.open("x" * 255, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with open("smtpmock", "wb", opener=lambda name, flags: os.open(name, flags, 0o755, dir_fd=folder)) as file:
            file.write(program.read_bytes())
        command = ["./smtpmock", "-v"]
        done = subprocess.run(command, preexec_fn=lambda: unix.os.fchdir(folder), capture_output=True, text=True)
    finally:
        os.close(folder)
    assert done.returncode == 1
    assert_says(done.stderr, "cannot find the folder of this program: File name too long")


def assert_says(stderr: str, text: str) -> None:
    """One line, in the form of the program's other start errors."""
    assert re.fullmatch(f"{STAMP} {re.escape('Failed to start SMTP mock server: ' + text)}\n", stderr), stderr


def test_as_bin_and_lib(copied: Path, tmp_path: Path) -> None:
    for folder in ("bin", "lib"):
        (tmp_path / "prefix" / folder).mkdir(parents=True)
    copied.with_name("smtpmock-files").rename(tmp_path / "prefix/lib/smtpmock-files")
    moved = copied.rename(tmp_path / "prefix/bin/smtpmock")
    assert_serves(moved)
    (tmp_path / "link").symlink_to(moved)
    assert_serves(tmp_path / "link", folder=Path("/"))


def test_its_folder_may_be_a_link(copied: Path, tmp_path: Path) -> None:
    copied.with_name("smtpmock-files").rename(tmp_path / "elsewhere")
    copied.with_name("smtpmock-files").symlink_to(tmp_path / "elsewhere")
    assert_serves(copied)


# What it says where it can't run


def test_a_program_without_its_folder_says_where_it_looked(copied: Path) -> None:
    shutil.rmtree(copied.with_name("smtpmock-files"))
    assert_does_not_start(copied, missing(copied.parent))


def test_a_program_without_its_folder_says_so_in_one_line(copied: Path) -> None:
    moved = copied.rename(copied.with_name("new\nline").with_suffix(""))
    folder = moved.with_name("a\nb\x7f")
    folder.mkdir()
    text = missing(folder).replace("\n", r"\x0a").replace("\x7f", r"\x7f")
    assert_does_not_start(moved.rename(folder / "smtpmock"), text)


def missing(folder: Path) -> str:
    places = f"{folder}/smtpmock-files nor {folder}/../lib/smtpmock-files"
    return f"the folder smtpmock-files is missing: it is neither {places}"


def assert_does_not_start(program: Path, text: str) -> None:
    done = run(program, "-v")
    assert (done.returncode, done.stdout) == (1, "")
    assert_says(done.stderr, text)


def test_a_folder_without_the_loader_is_named(copied: Path) -> None:
    (loader,) = copied.with_name("smtpmock-files").glob("ld-*")
    loader.unlink()
    assert_does_not_start(copied, f"cannot run {loader}: No such file or directory")


def test_a_folder_without_the_program_is_named(copied: Path) -> None:
    inner = copied.with_name("smtpmock-files") / "smtpmock"
    inner.unlink()
    assert_does_not_start(copied, f"cannot use {inner}: No such file or directory")


def test_a_loader_that_must_not_be_executed_is_named(copied: Path) -> None:
    (loader,) = copied.with_name("smtpmock-files").glob("ld-*")
    loader.chmod(0o644)
    assert_does_not_start(copied, f"cannot run {loader}: Permission denied")


# How it may be started


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_DEBUG", "LD_TRACE_LOADED_OBJECTS"])
def test_variables_of_the_loader_do_no_harm(program: Path, tmp_path: Path, name: str) -> None:
    """They are the caller's, for the caller's C library."""
    for library in ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libz.so.1", "hostile.so"):
        (tmp_path / library).write_bytes(b"")
    value = {"LD_LIBRARY_PATH": str(tmp_path), "LD_DEBUG": "all"}.get(name, str(tmp_path / "hostile.so"))
    plain = run(program, "-v")
    hostile = run(program, "-v", env=os.environ | {name: value})
    assert (hostile.returncode, hostile.stdout, hostile.stderr) == (0, plain.stdout, "")


@pytest.mark.parametrize("name", ["smtpmock", "another name"])
def test_the_process_is_the_one_that_was_started_and_has_its_name(program: Path, tmp_path: Path, name: str) -> None:
    """What ps and pkill show; and nothing in its environment is for the loader, which its bootloader would set."""
    (tmp_path / name).symlink_to(program)
    with listening(tmp_path / name) as running:
        process = Path(f"/proc/{running.process.pid}")
        assert (process / "comm").read_text() == f"{name}\n"
        assert (process / "environ").read_bytes().count(b"\0LD_") == 0


@pytest.mark.native
def test_a_capability_of_its_file_lets_it_have_a_low_port(program: Path) -> None:
    """Of SMTP's own port, 25, too, without being root."""
    if any(shutil.which(tool) is None for tool in ("setcap", "setpriv")) or unix.os.geteuid() != 0:
        pytest.skip("setcap or setpriv is missing (Debian: libcap2-bin, util-linux), or this is not root")
    # Not tmp_path, because nobody could not get there.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        copied = copy(program, Path(name) / "copy")
        given = subprocess.run(["setcap", "cap_net_bind_service=ep", copied], capture_output=True, text=True)
        if given.returncode:
            pytest.skip(f"this file system keeps no capabilities: {given.stderr}")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        with Daemon(program=[*nobody, str(copied)], port=free_low_port()) as running:
            running.wait_until_listening()
            with running.client() as client:
                assert client.ask(HELO) == "250 Received"


def free_low_port() -> int:
    """One that takes a privilege."""
    for port in range(1023, 511, -1):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    pytest.skip("no port below 1024 is free")


EXECUTE = """
import ctypes, sys
path, *words = (word.encode(errors="surrogateescape") for word in sys.argv[1:])
array = (ctypes.c_char_p * (len(words) + 1))(*words, None)
ctypes.CDLL(None).execve(path, array, (ctypes.c_char_p * 1)(None))
"""
"""Not: subprocess, which refuses an empty name, and none at all."""


@pytest.mark.parametrize("name", ["", "-", "a/b", "\udcff\n"], ids=ascii)
def test_its_name_may_be_anything(program: Path, name: str) -> None:
    with Daemon(program=[sys.executable, "-c", EXECUTE, str(program), name]) as running:
        running.wait_until_listening()
        with running.client() as client:
            assert client.ask(HELO) == "250 Received"


def test_it_may_be_started_without_any_words(program: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", EXECUTE, str(program)]) as process:
        try:
            while not (ports := listening_ports(process.pid)):
                assert process.poll() is None
                continue_after_a_moment()
            with Client(ports[0]) as client:
                assert client.ask(HELO) == "250 Received"
        finally:
            process.kill()


def listening_ports(pid: int) -> list[int]:
    """The TCP ports of IPv4 that a process listens on."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links]


def test_words_arrive_as_they_are(program: Path) -> None:
    """Empty ones and any bytes, in any locale."""
    greeting = b"220 \xff\xfe\xc3\xbc\t"
    words = ("", os.fsdecode(b"-msgGreeting=" + greeting), "")
    with listening(program, *words) as running, Client(running.port, greeted=False) as client:
        assert client.read_line() == greeting + b"\r\n"


@pytest.mark.parametrize(("language", "charset"), [("de_DE", "ISO-8859-1"), ("ja_JP", "EUC-JP"), ("de_DE", "UTF-8")])
def test_words_arrive_as_they_are_in_any_locale(program: Path, tmp_path: Path, language: str, charset: str) -> None:
    """As with go-smtp-mock, which knows none."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales", language).exists():
        pytest.skip("localedef or its sources are missing (Debian: locales)")
    name = f"{language}.{charset}"
    subprocess.run(["localedef", "-i", language, "-f", charset, tmp_path / name], capture_output=True, check=True)
    greeting = "220 Gr\u00fc\u00dfe".encode() + b"\xff"
    env = {"LOCPATH": str(tmp_path), "LC_ALL": name}
    with listening(program, os.fsdecode(b"-msgGreeting=" + greeting), env=env) as running:
        with Client(running.port, greeted=False) as client:
            assert client.read_line() == greeting + b"\r\n"
        running.signal(signal.SIGTERM)
        assert wait_for_exit(running) == 0
