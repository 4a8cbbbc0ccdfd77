"""What makes the archive one for every Linux: a launcher, and the C library that the frozen program runs on.

packaging/launcher.c says why. As a program it prints what is missing to build them here, if anything is.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.c")
COMPILED = "cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-Wl,--build-id=none"
ELF = b"\x7fELF"
RESOLVED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
"""A line of ldd's with the path of a library, or of the loader."""
MODULES = "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"
"""What an older glibc looks names up with, without naming it as needed."""
BUILT_IN = 2, 34
"""The version of glibc since which it needs no modules for that."""


def complete(launcher: Path, files: Path) -> None:
    """Put the launcher in place, and the loader and the system's libraries beside the frozen program."""
    loader = add_libraries(files)
    compile_launcher(launcher, loader)


def obstacle() -> str:
    """Why no launcher can be made here, and what to install; or nothing."""
    if shutil.which("cc") is None:
        return "a C compiler is missing: install gcc and libc6-dev (Debian, Ubuntu), or gcc and glibc-static"
    done = subprocess.run(
        ["cc", "-static", "-xc", "-", "-o", os.devnull],
        input="int main(void) { return 0; }",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return "the static C library is missing: install libc6-dev (Debian, Ubuntu) or glibc-static (Fedora)"
    return ""


def compile_launcher(launcher: Path, loader: str) -> None:
    subprocess.run([*COMPILED, f'-DLOADER="{loader}"', "-o", launcher, LAUNCHER], check=True)
    launcher.chmod(0o755)


def add_libraries(files: Path) -> str:
    """Copy what the frozen program, its libraries and its modules need of the system; the loader's name."""
    found = needed(binaries(files))
    (loader,) = (path for path in found if path.name.startswith("ld-"))
    if glibc_version() < BUILT_IN:
        found |= needed_modules(next(path for path in found if path.name == "libc.so.6"))
    for path in sorted(found):
        if not (files / path.name).exists():
            shutil.copy(path, files / path.name)
    (files / loader.name).chmod(0o755)
    return loader.name


def binaries(files: Path) -> list[Path]:
    return sorted(path for path in files.rglob("*") if path.is_file() and path.open("rb").read(4) == ELF)


def needed(paths: Iterable[Path]) -> set[Path]:
    """The libraries that these need, and that theirs need, where the system's loader finds them; and the loader."""
    return {Path(found) for path in paths for found in RESOLVED.findall(listed(path))}


def listed(path: Path) -> str:
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C"})
    if "not found" in done.stdout:
        sys.exit(f"A library that {path.name} needs is missing:\n{done.stdout}")
    return done.stdout


def glibc_version() -> tuple[int, ...]:
    return tuple(map(int, platform.libc_ver()[1].split(".")))


def needed_modules(libc: Path) -> set[Path]:
    return {libc.with_name(name) for name in MODULES}


if __name__ == "__main__":
    sys.stdout.write(obstacle())
