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

import licenses

LAUNCHER = Path(__file__).with_name("launcher.c")
COMPILED = "cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-Wl,--build-id=none"
ELF = b"\x7fELF"
RESOLVED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
"""A line of ldd's with the path of a library, or of the loader."""
LOADED_LATER = ["libgcc_s.so.1"]
"""What glibc loads by itself, without naming it as needed: this at the end of a thread."""
NAME_SERVICES = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"]
"""The same, to look up names, before version 2.34."""


def complete(launcher: Path, files: Path) -> None:
    """Put the launcher in place; the loader, the system's libraries and all licences beside the frozen program."""
    added = add_libraries(files)
    (loader,) = (name for name in added if name.startswith("ld-"))
    (files / loader).chmod(0o755)
    compile_launcher(launcher, loader)
    licenses.collect(files, binaries(files), added)


def obstacle() -> str:
    """Why no launcher can be made here, and what to install; or nothing."""
    if shutil.which("dpkg-query") is None:
        return (
            "dpkg is missing: the archive is built on Debian or Ubuntu, whose packages have the licences of libraries"
        )
    if shutil.which("cc") is None:
        return "a C compiler is missing: install gcc and libc6-dev, as script/tools does"
    done = subprocess.run(
        ["cc", "-static", "-xc", "-", "-o", os.devnull],
        input="int main(void) { return 0; }",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return "the static C library is missing: install libc6-dev, as script/tools does"
    return ""


def compile_launcher(launcher: Path, loader: str) -> None:
    subprocess.run([*COMPILED, f'-DLOADER="{loader}"', "-o", launcher, LAUNCHER], check=True)
    launcher.chmod(0o755)


def add_libraries(files: Path) -> dict[str, Path]:
    """Copy what the frozen program, its libraries and its modules need of the system; where each comes from."""
    found = needed(binaries(files)) | loaded_later()
    added = {path.name: path for path in sorted(found) if not (files / path.name).exists()}
    for name, path in added.items():
        shutil.copy(path, files / name)
    return added


def loaded_later() -> set[Path]:
    names = LOADED_LATER if glibc_version() >= (2, 34) else LOADED_LATER + NAME_SERVICES
    paths = {Path(output("cc", f"-print-file-name={name}").strip()) for name in names}
    if lacking := [str(path) for path in paths if not path.is_absolute()]:
        sys.exit(f"The system's {' and '.join(lacking)} cannot be found")
    return paths


def binaries(files: Path) -> list[Path]:
    return sorted(path for path in files.rglob("*") if path.is_file() and path.open("rb").read(4) == ELF)


def needed(paths: Iterable[Path]) -> set[Path]:
    """The libraries that these need, and that theirs need, where the system's loader finds them; and the loader."""
    return {Path(found) for path in paths for found in RESOLVED.findall(listed(path))}


def listed(path: Path) -> str:
    found = output("ldd", path)
    if "not found" in found:
        sys.exit(f"A library that {path.name} needs is missing:\n{found}")
    return found


def output(*command: str | Path) -> str:
    env = os.environ | {"LC_ALL": "C"}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env).stdout


def glibc_version() -> tuple[int, ...]:
    return tuple(map(int, platform.libc_ver()[1].split(".")))


if __name__ == "__main__":
    sys.stdout.write(obstacle())
