"""script/download.sh: what it puts where, and that it leaves all as it was when it can't."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import unix
from tests.frozen import chroots
from tests.frozen.chroots import Chroot
from tests.helpers import PATIENCE, ROOT, free_port

from .release import ARCHIVES, LATEST, Release, archive, path, tarred

if os.name == "nt":
    pytest.skip("the fake tools are shell scripts; release.yml tries Windows", allow_module_level=True)

SCRIPT = ROOT / "script/download.sh"
LINUX = "smtpmock_Linux_x86_64.tar.gz"
NOBODY = 65534

# What the script may use. The others, uname and a tool for checksums, each test chooses.
TOOLS = ("mktemp", "mkdir", "mv", "rm", "chmod", "tar", "gzip", "unzip", "curl")

Snapshot = dict[str, tuple[int, bytes | None]]


class Machine:
    """A directory to download into, a PATH with chosen tools only, and a release to download."""

    def __init__(self, home: Path, release: Release) -> None:
        self.release = release
        self.folder = home / "a folder"
        self.folder.mkdir()
        self.tools = home / "tools"
        self.tools.mkdir()
        self.variables = {"PATH": str(self.tools), "SMTPMOCK_URL": release.url}
        self.user: int | None = None
        self.before: Sequence[str] = ()
        """A command that runs the shell: what follows it are the shell's words."""
        for name in TOOLS:
            if shutil.which(name):
                self.link(name)
        self.link(next(name for name in ("sha256sum", "shasum") if shutil.which(name)))
        self.is_a("Linux", "x86_64")

    def link(self, name: str, target: str | None = None) -> None:
        found = shutil.which(target or name)
        if found is None:
            pytest.skip(f"{target or name} is missing")
        (self.tools / name).symlink_to(found)

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.tools / name).unlink(missing_ok=True)

    def fake(self, name: str, script: str) -> None:
        self.lacks(name)
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def is_a(self, system: str, processor: str) -> None:
        self.fake("uname", f"case $1 in -s) echo '{system}' ;; -m) echo '{processor}' ;; *) exit 1 ;; esac")

    def has_old_version(self) -> None:
        inside = self.folder / "smtpmock-files"
        inside.mkdir()
        (inside / "built-for").write_text("1.0.0 old\n")
        (inside / "no longer shipped").write_text("old")
        (self.folder / "smtpmock").write_text("#!/bin/sh\necho old")
        (self.folder / "smtpmock").chmod(0o700)

    def command(self, shell: str, script: Path | None = SCRIPT) -> list[str]:
        found = shutil.which(shell)
        if found is None:
            pytest.skip(f"{shell} is missing")
        return [*self.before, found, *([str(script)] if script else [])]

    def download(self, shell: str = "sh", text: str | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the script: from its file, or this text of it through a pipe."""
        command = self.command(shell, None if text is not None else SCRIPT)
        return self.run(command, input=text if text is not None else "", **more)

    def run(self, command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"user": self.user, "group": self.user} if self.user else {}
        options |= {"cwd": self.folder, "env": self.variables, "capture_output": True, "text": True}
        return subprocess.run(command, timeout=PATIENCE, **(options | more))

    def started(self) -> str:
        """What the program in the folder says."""
        done = self.run(["./smtpmock", "-port=2525", "-log"])
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def snapshot(self) -> Snapshot:
        return snapshot(self.folder)


def snapshot(folder: Path) -> Snapshot:
    """Mode and content of everything in a folder."""
    return {
        found.relative_to(folder).as_posix(): (found.lstat().st_mode, found.read_bytes() if found.is_file() else None)
        for found in folder.rglob("*")
    }


@pytest.fixture
def release() -> Iterator[Release]:
    with Release() as server:
        server.publish()
        server.publish("2.6.0")
        yield server


@pytest.fixture
def machine(release: Release) -> Iterator[Machine]:
    # Not tmp_path: another user, as one test needs, could not get there.
    with tempfile.TemporaryDirectory() as name:
        home = Path(name).resolve()  # as the shell tells it
        home.chmod(0o755)
        yield Machine(home, release)


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is missing")
    return str(request.param)


def uses_wget(machine: Machine) -> None:
    machine.lacks("curl")
    machine.link("wget")


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")
    assert "./smtpmock -port=2525 -log" in done.stdout


def failed(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("smtpmock: ")
    assert message in last


# What it puts where


@pytest.mark.parametrize("with_wget", [False, True], ids=["curl", "wget"])
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_program_and_folder_are_there_and_nothing_else(
    machine: Machine, shell: str, *, piped: bool, with_wget: bool
) -> None:
    if with_wget:
        uses_wget(machine)
    succeeded(machine.download(shell, SCRIPT.read_text("utf-8") if piped else None))
    assert sorted(machine.snapshot()) == ["smtpmock", "smtpmock-files", "smtpmock-files/built-for"]
    assert machine.started() == f"{LATEST} {LINUX}: -port=2525 -log\n"
    assert {found.stat().st_uid for found in machine.folder.rglob("*")} == {unix.os.geteuid()}


def test_old_version_is_replaced_and_other_files_stay(machine: Machine, shell: str) -> None:
    machine.has_old_version()
    (machine.folder / "mine.txt").write_text("mine")
    succeeded(machine.download(shell))
    assert sorted(machine.snapshot()) == ["mine.txt", "smtpmock", "smtpmock-files", "smtpmock-files/built-for"]
    assert machine.started().startswith(f"{LATEST} ")


def test_it_can_be_run_again(machine: Machine) -> None:
    for _ in range(2):
        succeeded(machine.download())
    assert machine.started().startswith(f"{LATEST} ")


@pytest.mark.parametrize(
    ("asked", "got"),
    [("", LATEST), ("latest", LATEST), ("2.6.0", "2.6.0"), ("v2.6.0", "2.6.0"), (LATEST, LATEST)],
)
def test_version(machine: Machine, asked: str, got: str) -> None:
    machine.variables["VERSION"] = asked
    succeeded(machine.download())
    assert machine.started().startswith(f"{got} ")


@pytest.mark.parametrize("end", ["", "/"])
def test_mirror(machine: Machine, end: str) -> None:
    files = machine.release.files
    files |= {f"/mirror{name}": content for name, content in files.items()}
    machine.variables |= {"SMTPMOCK_URL": f"{machine.release.url}/mirror{end}", "VERSION": LATEST}
    succeeded(machine.download())


@pytest.mark.parametrize(
    ("system", "processor", "name"),
    [
        ("Linux", "x86_64", "smtpmock_Linux_x86_64.tar.gz"),
        ("Linux", "amd64", "smtpmock_Linux_x86_64.tar.gz"),
        ("Linux", "aarch64", "smtpmock_Linux_arm64.tar.gz"),
        ("Linux", "arm64", "smtpmock_Linux_arm64.tar.gz"),
        ("Darwin", "x86_64", "smtpmock_Darwin_x86_64.tar.gz"),
        ("Darwin", "arm64", "smtpmock_Darwin_arm64.tar.gz"),
    ],
)
def test_platform(machine: Machine, system: str, processor: str, name: str) -> None:
    machine.is_a(system, processor)
    succeeded(machine.download())
    assert machine.started().startswith(f"{LATEST} {name}:")


def test_alpine(release: Release, tmp_path: Path) -> None:
    """With BusyBox's tools, and no C library but musl."""
    if obstacle := chroots.obstacle():
        pytest.skip(obstacle)
    if obstacle := chroots.want_of_alpine():
        pytest.skip(obstacle)
    root = Chroot(tmp_path / "root")
    root.is_alpine("sh", *ALPINE_TOOLS)
    shutil.copy(SCRIPT, root.folder / "download.sh")
    (root.folder / "here").mkdir()
    command = root.command("/bin/sh", "-c", "cd /here && sh /download.sh && ./smtpmock -log")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SMTPMOCK_URL": release.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"^{LATEST} smtpmock_Linux_\w+\.tar\.gz: -log$", done.stdout, re.MULTILINE)


ALPINE_TOOLS = ("uname", "mktemp", "mkdir", "mv", "rm", "chmod", "tar", "gzip", "gunzip", "wget", "sha256sum")


WINDOWS = [("MINGW64_NT-10.0-22631", "x86_64"), ("MSYS_NT-10.0-22631", "x86_64"), ("CYGWIN_NT-10.0", "aarch64")]


@pytest.mark.parametrize(("system", "processor"), WINDOWS)
def test_windows(machine: Machine, shell: str, system: str, processor: str) -> None:
    machine.lacks("unzip")
    machine.link("unzip")
    machine.is_a(system, processor)
    succeeded(machine.download(shell))
    assert sorted(machine.snapshot()) == ["smtpmock-files", "smtpmock-files/built-for", "smtpmock.exe"]
    assert "smtpmock_Windows_x86_64.zip" in machine.run(["./smtpmock.exe"]).stdout


def test_windows_with_a_tar_that_reads_zip_files(machine: Machine) -> None:
    machine.is_a(*WINDOWS[0])
    machine.lacks("unzip")
    machine.fake("tar", f'[ "$1 $3" = "-xf -C" ] && exec "{sys.executable}" -m zipfile -e "$2" "$4"')
    succeeded(machine.download())
    assert "smtpmock_Windows_x86_64.zip" in machine.run(["./smtpmock.exe"]).stdout


@pytest.mark.parametrize("tool", ["sha256sum", "shasum", "openssl"])
def test_any_tool_for_checksums_will_do(machine: Machine, tool: str) -> None:
    machine.lacks("sha256sum", "shasum")
    machine.link(tool)
    succeeded(machine.download())
    machine.release.files[path(LINUX)] += b"more"
    failed(machine.download(), "is not what was released")


def test_checksums_of_binary_files(machine: Machine) -> None:
    name = path("checksums.txt")
    machine.release.publish_archive(LINUX, archive(LINUX, LATEST))
    # The asterisk is what `sha256sum --binary` writes; the last line may lack its end.
    machine.release.files[name] = machine.release.files[name].replace(b"  ", b" *").rstrip()
    succeeded(machine.download())


# What fails leaves all as it was


def changes_archive(machine: Machine) -> None:
    machine.release.files[path(LINUX)] += b"more"


def truncates_archive(machine: Machine) -> None:
    machine.release.files[path(LINUX)] = machine.release.files[path(LINUX)][:-20]


def releases_truncated_archive(machine: Machine) -> None:
    machine.release.publish_archive(LINUX, machine.release.files[path(LINUX)][:-20])


def releases_no_archive(machine: Machine) -> None:
    machine.release.publish_archive(LINUX, b"<html>Please log in to this wireless network</html>")


def releases_archive_without_folder(machine: Machine) -> None:
    machine.release.publish_archive(LINUX, tarred({"smtpmock": b""}))


def releases_archive_without_program(machine: Machine) -> None:
    machine.release.publish_archive(LINUX, tarred({"smtpmock-files/built-for": b""}))


def forgets_archive(machine: Machine) -> None:
    del machine.release.files[path(LINUX)]


def forgets_checksum(machine: Machine) -> None:
    name = path("checksums.txt")
    machine.release.files[name] = machine.release.files[name].replace(LINUX.encode(), b"x" + LINUX.encode())


def empties_checksums(machine: Machine) -> None:
    machine.release.files[path("checksums.txt")] = b""


def names_archive_without_sum(machine: Machine) -> None:
    machine.release.files[path("checksums.txt")] = f"{LINUX}\n  {LINUX}\n".encode()


def wants_unknown_version(machine: Machine) -> None:
    machine.variables["VERSION"] = "9.9.9"


def wants_no_version(machine: Machine) -> None:
    machine.variables["VERSION"] = "../../2.6.0"


def has_no_network(machine: Machine) -> None:
    machine.variables["SMTPMOCK_URL"] = f"http://127.0.0.1:{free_port()}"


def is_solaris(machine: Machine) -> None:
    machine.is_a("SunOS", "x86_64")


def is_risc_v(machine: Machine) -> None:
    machine.is_a("Linux", "riscv64")


def is_old_raspberry(machine: Machine) -> None:
    machine.is_a("Linux", "armv7l")


def lacks_curl_and_wget(machine: Machine) -> None:
    machine.lacks("curl")


def lacks_tar(machine: Machine) -> None:
    machine.lacks("tar")


def lacks_gzip(machine: Machine) -> None:
    machine.lacks("tar", "gzip")
    machine.fake("tar", "echo 'tar: gzip: Cannot exec: No such file or directory' >&2; exit 2")


def lacks_checksum_tool(machine: Machine) -> None:
    machine.lacks("sha256sum", "shasum")


def has_broken_checksum_tool(machine: Machine) -> None:
    machine.lacks("shasum")
    machine.fake("sha256sum", "exit 1")


def cannot_unzip(machine: Machine) -> None:
    machine.is_a(*WINDOWS[0])
    machine.lacks("unzip")
    # As the tar of Git's shell.
    machine.fake("tar", "echo 'tar: This does not look like a tar archive' >&2; exit 2")


def has_nothing_to_unzip_with(machine: Machine) -> None:
    machine.is_a(*WINDOWS[0])
    machine.lacks("unzip", "tar")


def cannot_make_folder(machine: Machine) -> None:
    machine.fake("mktemp", "echo 'mktemp: Permission denied' >&2; exit 1")


EVERYTHING_BEFORE_THE_NETWORK: dict[Callable[[Machine], None], str] = {
    is_solaris: "no smtpmock for the system 'SunOS'; 'pip install",
    is_risc_v: "no smtpmock for the processor 'riscv64'; 'pip install",
    is_old_raspberry: "no smtpmock for the processor 'armv7l'; 'pip install",
    wants_no_version: "VERSION is '../../2.6.0', which is no version",
    lacks_curl_and_wget: "curl or wget is needed",
    lacks_tar: "tar is needed",
    lacks_checksum_tool: "sha256sum, shasum or openssl is needed",
    has_nothing_to_unzip_with: "unzip is needed",
    cannot_make_folder: "cannot write into ",
}

EVERYTHING_OF_THE_NETWORK: dict[Callable[[Machine], None], str] = {
    has_no_network: "is there a network, and a release 'latest'?",
    wants_unknown_version: "is there a release '9.9.9'?",
    forgets_archive: f"/latest/download/{LINUX}, or does not give it",
}

EVERYTHING_AFTER_THE_NETWORK: dict[Callable[[Machine], None], str] = {
    changes_archive: f"{LINUX} is not what was released",
    truncates_archive: f"{LINUX} is not what was released",
    has_broken_checksum_tool: f"{LINUX} is not what was released",
    forgets_checksum: f"checksums.txt of the release 'latest' does not name {LINUX}",
    empties_checksums: f"checksums.txt of the release 'latest' does not name {LINUX}",
    names_archive_without_sum: f"checksums.txt of the release 'latest' does not name {LINUX}",
    releases_truncated_archive: f"cannot unpack {LINUX}",
    releases_no_archive: f"cannot unpack {LINUX}",
    releases_archive_without_folder: f"{LINUX} does not hold smtpmock and smtpmock-files",
    releases_archive_without_program: f"{LINUX} does not hold smtpmock and smtpmock-files",
    lacks_gzip: f"cannot unpack {LINUX}",
    cannot_unzip: "cannot unpack smtpmock_Windows_x86_64.zip",
}


def cases(table: dict[Callable[[Machine], None], str]) -> list[Any]:
    return [pytest.param(spoil, message, id=spoil.__name__) for spoil, message in table.items()]


@pytest.fixture(params=[False, True], ids=["empty", "old"])
def furnished(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """A machine with nothing in the folder, and one with an old version."""
    if request.param:
        machine.has_old_version()
    return machine


@pytest.mark.parametrize(("spoil", "message"), cases(EVERYTHING_BEFORE_THE_NETWORK))
def test_failure_before_anything_is_asked_for(
    furnished: Machine, shell: str, spoil: Callable[[Machine], None], message: str
) -> None:
    spoil(furnished)
    before = furnished.snapshot()
    failed(furnished.download(shell), message)
    assert furnished.snapshot() == before
    assert furnished.release.asked == []


@pytest.mark.parametrize("with_wget", [False, True], ids=["curl", "wget"])
@pytest.mark.parametrize(("spoil", "message"), cases(EVERYTHING_OF_THE_NETWORK))
def test_failure_of_the_network(
    furnished: Machine, shell: str, spoil: Callable[[Machine], None], message: str, *, with_wget: bool
) -> None:
    if with_wget:
        uses_wget(furnished)
    spoil(furnished)
    before = furnished.snapshot()
    failed(furnished.download(shell), message)
    assert furnished.snapshot() == before


@pytest.mark.parametrize(("spoil", "message"), cases(EVERYTHING_AFTER_THE_NETWORK))
def test_failure_of_what_arrived(
    furnished: Machine, shell: str, spoil: Callable[[Machine], None], message: str
) -> None:
    spoil(furnished)
    before = furnished.snapshot()
    failed(furnished.download(shell), message)
    assert furnished.snapshot() == before


@pytest.mark.parametrize("name", ["checksums.txt", LINUX])
def test_connection_that_breaks(furnished: Machine, name: str) -> None:
    furnished.release.cut_off.add(path(name))
    before = furnished.snapshot()
    failed(furnished.download(), f"cannot download {furnished.release.url}/latest/download/{name}")
    assert furnished.snapshot() == before


def test_nothing_is_unpacked_before_the_checksum_is_right(machine: Machine, shell: str) -> None:
    changes_archive(machine)
    witness = machine.tools / "unpacked"
    machine.fake("tar", f': >"{witness}"')
    failed(machine.download(shell), "is not what was released")
    assert not witness.exists()


@pytest.mark.parametrize("with_wget", [False, True], ids=["curl", "wget"])
def test_disk_full_while_downloading(furnished: Machine, *, with_wget: bool) -> None:
    if with_wget:
        uses_wget(furnished)
    furnished.release.publish(large=Random(1).randbytes(1 << 20))
    before = furnished.snapshot()
    failed(furnished_with_small_disk(furnished), "is the disk full?")
    assert furnished.snapshot() == before


def test_disk_full_while_unpacking(furnished: Machine) -> None:
    furnished.release.publish(large=bytes(1 << 20))
    before = furnished.snapshot()
    failed(furnished_with_small_disk(furnished), f"cannot unpack {LINUX}; is the disk full")
    assert furnished.snapshot() == before


def furnished_with_small_disk(machine: Machine) -> subprocess.CompletedProcess[str]:
    """Run where no file may have more than 64 blocks: a write fails as it does on a full disk."""
    machine.before = ("/bin/sh", "-c", 'ulimit -f 64; exec "$@"', "sh")
    # Python ignores the signal that would end the writer instead; so shall the script.
    return machine.download(restore_signals=False)


def test_folder_that_cannot_be_written(furnished: Machine, shell: str) -> None:
    """As somebody else, where the tests run as root, whom no mode stops."""
    if unix.os.geteuid() == 0:
        furnished.user = NOBODY
    furnished.folder.chmod(0o555)
    before = furnished.snapshot()
    try:
        done = furnished.download(shell, SCRIPT.read_text("utf-8"))
    except PermissionError as error:
        pytest.skip(f"root may not become another user here: {error}")
    finally:
        furnished.folder.chmod(0o755)
    failed(done, f"cannot write into {furnished.folder}")
    assert furnished.snapshot() == before


@pytest.mark.parametrize("name", ["smtpmock", "smtpmock-files"])
def test_what_is_not_ours_is_not_replaced(machine: Machine, shell: str, name: str) -> None:
    """The clone of a project is a folder of its name."""
    if name == "smtpmock":
        (machine.folder / name).mkdir()
        (machine.folder / name / "work.txt").write_text("weeks of it")
    else:
        (machine.folder / name).write_text("a list of files")
    before = machine.snapshot()
    failed(machine.download(shell), "go to another directory")
    assert machine.snapshot() == before


# The exchange of old for new


def mv_that(machine: Machine, what: str) -> None:
    """A mv that counts its runs in ``$run``, does something, and then is the real one."""
    count = machine.tools / "runs"
    count.write_text("")
    real = shutil.which("mv")
    counting = f'echo >>"{count}"; run=0; while read -r _; do run=$((run + 1)); done <"{count}"'
    machine.fake("mv", f'{counting}\n{what}\nexec "{real}" "$@"')


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_exchange_that_fails_is_taken_back(furnished: Machine, shell: str, failing: int) -> None:
    moves = 4 if (furnished.folder / "smtpmock").exists() else 2
    mv_that(furnished, f'[ "$run" != {failing} ] || exit 1')
    before = furnished.snapshot()
    done = furnished.download(shell)
    if failing <= moves:
        failed(done, "cannot replace smtpmock; is it running?")
        assert furnished.snapshot() == before
    else:
        succeeded(done)


def test_old_version_that_cannot_be_put_back_is_kept(machine: Machine, shell: str) -> None:
    machine.has_old_version()
    before = machine.snapshot()
    mv_that(machine, '[ "$run" -le 2 ] || exit 1')
    done = machine.download(shell)
    failed(done, "nor put all of the old one back: see ")
    kept = Path(done.stderr.splitlines()[-1].partition(": see ")[2])
    assert kept.parent.parent == machine.folder
    assert snapshot(kept) == before


@pytest.mark.parametrize("during", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_signal_does_not_cut_the_exchange(machine: Machine, shell: str, name: str, during: int) -> None:
    machine.has_old_version()
    mv_that(machine, f'[ "$run" != {during} ] || kill -s {name} "$PPID"')
    succeeded(machine.download(shell))
    assert sorted(machine.snapshot()) == ["smtpmock", "smtpmock-files", "smtpmock-files/built-for"]
    assert machine.started().startswith(f"{LATEST} ")


# What stops it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, unix.signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["checksums.txt", LINUX])
def test_signal_while_downloading(furnished: Machine, shell: str, name: str, number: signal.Signals) -> None:
    furnished.release.held.add(path(name))
    before = furnished.snapshot()
    # A shell cannot trap what was ignored when it began, as these are under nohup.
    heed = f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    furnished.before = (sys.executable, "-c", heed)
    with subprocess.Popen(
        furnished.command(shell),
        cwd=furnished.folder,
        env=furnished.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        try:
            assert furnished.release.reached.wait(PATIENCE)
            assert len(furnished.snapshot()) > len(before)
        finally:
            unix.os.killpg(running.pid, number)
            out, _ = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (128 + number, b"")
    assert furnished.snapshot() == before


def test_script_that_was_cut_off_does_nothing(furnished: Machine, shell: str) -> None:
    before = furnished.snapshot()
    *lines, last = SCRIPT.read_text("utf-8").splitlines(keepends=True)
    assert last == 'main "$@"\n'
    text = ""
    for line in lines:
        for part in (line[: len(line) // 2], line):
            furnished.download(shell, text + part)
        text += line
    assert furnished.snapshot() == before
    assert furnished.release.asked == []


def test_archives_are_those_that_the_release_makes() -> None:
    """The names are in three places: here, in the script and in the workflow."""
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    assert tuple(re.findall(r"\{ archive: ([^,]+),", workflow)) == ARCHIVES
