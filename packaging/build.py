"""Builds the program with its folder, and the archive that a release carries: ``build.py [FOLDER]``.

The program goes into FOLDER, by default ``dist``; the archive goes into ``dist``, beside those of other platforms.
What it is built from is what git says, or else the variable SOURCE_COMMIT.

Two builds of one commit on one platform, with the same Python and PyInstaller, are the same byte for
byte: times come from SOURCE_DATE_EPOCH, or else from the commit; names are sorted; hashing is fixed.
"""

from __future__ import annotations

import gzip
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import linux

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
STAMP = ROOT / "build" / "stamp"
PROGRAM = "smtpmock.exe" if sys.platform == "win32" else "smtpmock"
PROCESSORS = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def main() -> None:
    if sys.platform == "linux" and (obstacle := linux.obstacle()):
        sys.exit(obstacle)
    folder = Path(*sys.argv[1:2]).absolute() if sys.argv[1:] else DIST
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"
    write_stamp(int(epoch))
    freeze(folder, epoch)
    made = archive(folder, int(epoch))
    size = sum(path.stat().st_size for path in program_files(folder))
    sys.stdout.write(f"dist/{made.name}: {made.stat().st_size / 1e6:.1f} MB; unpacked: {size / 1e6:.1f} MB\n")


def git(*arguments: str) -> str:
    """What git says, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def write_stamp(epoch: int) -> None:
    """The module that tells the frozen program what it was built from, and when."""
    built_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    STAMP.mkdir(parents=True, exist_ok=True)
    (STAMP / "smtpmock_build.py").write_text(f"COMMIT = {commit()!r}\nBUILT_AT = {built_at!r}\n")


def commit() -> str:
    checked_out = git("rev-parse", "HEAD")
    if not checked_out:
        return os.environ.get("SOURCE_COMMIT") or "unknown"
    return checked_out + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def freeze(folder: Path, epoch: str) -> None:
    shutil.rmtree(folder / "smtpmock-files", ignore_errors=True)
    work = ROOT / "build" / "pyinstaller"
    level = os.environ.get("PYI_LOG_LEVEL", "WARN")
    arguments = ["--noconfirm", "--clean", f"--log-level={level}", f"--distpath={folder}", f"--workpath={work}"]
    subprocess.run(
        [sys.executable, "-m", "PyInstaller", *arguments, ROOT / "packaging" / "smtpmock.spec"],
        cwd=ROOT,
        env={
            **os.environ,
            "SOURCE_DATE_EPOCH": epoch,
            "PYTHONHASHSEED": "0",
            "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0",  # unpacking takes time at each start
        },
        check=True,
    )
    put_in_place(folder / "collected", folder)


def put_in_place(collected: Path, folder: Path) -> None:
    """The program and its folder go beside each other."""
    if sys.platform == "linux":
        collected.rename(folder / "smtpmock-files")
        linux.complete(folder / "smtpmock", folder / "smtpmock-files")
    else:
        for path in sorted(collected.iterdir()):
            path.replace(folder / path.name)
        collected.rmdir()


def program_files(folder: Path) -> list[Path]:
    """The program and what is in its folder, and nothing else that ``folder`` may hold."""
    inside = (path for path in (folder / "smtpmock-files").rglob("*") if path.is_file())
    return sorted([folder / PROGRAM, *inside])


def archive(folder: Path, epoch: int) -> Path:
    """The archive for this platform, by the name that script/download.sh asks for."""
    DIST.mkdir(exist_ok=True)
    processor = PROCESSORS.get(platform.machine().lower(), platform.machine())
    stem = DIST / f"smtpmock_{platform.system()}_{processor}"
    return (zip_archive if sys.platform == "win32" else tar_archive)(stem, folder, epoch)


def tar_archive(stem: Path, folder: Path, epoch: int) -> Path:
    made = stem.with_name(stem.name + ".tar.gz")

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = epoch
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    with (
        made.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in program_files(folder):
            tar.add(path, path.relative_to(folder).as_posix(), filter=neutral)
    return made


def zip_archive(stem: Path, folder: Path, epoch: int) -> Path:
    made = stem.with_name(stem.name + ".zip")
    stamp = time.gmtime(max(epoch, 315532800))[:6]  # a zip knows no time before 1980
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in program_files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    return made


if __name__ == "__main__":
    main()
