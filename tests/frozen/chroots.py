"""Chroots: machines with next to nothing on them, for the frozen program to run on."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import unix
from tests.helpers import PATIENCE, Daemon

NOBODY = "65534:65534"
_MOUNT_PROC = 'mount -t proc proc "$0/proc"'
_BIND_DEVICES = 'mount --rbind /dev "$0/dev"'
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"""Where chroot and mount are, which not every user's PATH has."""
_MAKE_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'


class Chroot:
    """A root directory with nothing but what a test puts into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "0:0"
        self.mounts = [_MOUNT_PROC]
        (folder / "proc").mkdir(parents=True)
        folder.chmod(0o755)

    def has(self, program: Path) -> None:
        """The frozen program, as ``/opt/smtpmock``, with its folder."""
        (self.folder / "opt").mkdir()
        shutil.copy(program.resolve(), self.folder / "opt/smtpmock")
        files = program.resolve().with_name("smtpmock-files")
        shutil.copytree(files, self.folder / "opt/smtpmock-files", symlinks=True)

    def is_alpine(self, *tools: str) -> None:
        """It has musl's C library, devices, and these tools of BusyBox's."""
        for name in ("bin", "dev", "lib"):
            (self.folder / name).mkdir()
        self.mounts.append(_BIND_DEVICES)
        shutil.copy(_musl()[0], self.folder / "lib")
        shutil.copy(str(shutil.which("busybox")), self.folder / "bin/busybox")
        for name in tools:
            (self.folder / "bin" / name).symlink_to("busybox")

    def has_no_proc(self) -> None:
        self.mounts = []

    def is_read_only(self) -> None:
        self.mounts = [_MAKE_READ_ONLY, *self.mounts]

    def command(self, *words: str) -> list[str]:
        """Run these words in it. The mounts are gone with the process, which is the words' from the exec on."""
        script = " && ".join([*self.mounts, 'exec chroot "--userspec=$1" "$0" "${@:2}"'])
        return ["unshare", "--mount", "bash", "-c", script, str(self.folder), self.user, *words]

    @contextmanager
    def listening(self, *flags: str) -> Iterator[Daemon]:
        """The program, with next to no environment."""
        with Daemon(*flags, program=self.command("/opt/smtpmock"), env=_ENVIRONMENT) as running:
            running.wait_until_listening()
            yield running

    def files(self) -> set[str]:
        """Every file and folder in it."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}


def obstacle() -> str:
    """Why there can be no chroot here, or nothing."""
    if platform.system() != "Linux" or unix.os.geteuid() != 0:
        return "chroot takes root, on Linux"
    if missing := [
        name for name in ("bash", "chroot", "mount", "unshare") if shutil.which(name, path=_ENVIRONMENT["PATH"]) is None
    ]:
        return f"{' and '.join(missing)} missing"
    with tempfile.TemporaryDirectory() as folder:
        attempt = ["unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0"', folder]
        done = subprocess.run(attempt, capture_output=True, text=True, timeout=PATIENCE, env=_ENVIRONMENT)
    return f"this root may not mount: {done.stderr.strip()}" if done.returncode else ""


def want_of_alpine() -> str:
    """What is missing to make one as Alpine is, or nothing."""
    missing = [
        name for name, found in {"musl": _musl(), "busybox-static": shutil.which("busybox")}.items() if not found
    ]
    return f"{' and '.join(missing)} missing: script/tools installs them" if missing else ""


def _musl() -> list[Path]:
    """Its loader, which is the library as well."""
    return sorted(Path("/lib").glob("ld-musl-*.so.1"))
