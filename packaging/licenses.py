"""Collects the licences of all that travels in the archive for Linux, from where it is installed.

The folder ``licenses`` has a folder for each component, which is a distribution of PyPI's, a package of Debian's,
Python or smtpmock; and ``contents.txt``, by which each library and each Python package has its components.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLLECTED = ROOT / "build" / "stamp" / "collected.json"
"""What PyInstaller has collected, by packaging/smtpmock.spec: the names of modules, and where binaries come from."""
OURS = {"smtpmock_cli", "smtpmock_build"}
BOOTLOADER = "pyinstaller"
LINKED = {"_rust": "*/libssl.so.*", "_cffi_backend": "*/libffi.so.*"}
"""What is compiled into extensions of PyPI's without its licence: a file of that library's, as Debian has it."""
COMMON = Path("/usr/share/common-licenses")
"""Texts that Debian's packages refer to."""
LICENSE_NAME = re.compile(r"licen[cs]e|copying|notice|authors", re.IGNORECASE)

Component = tuple[str, str, list[Path]]
"""Its name, its version, and the files of its licence."""


def collect(files: Path, binaries: Iterable[Path], system: Mapping[str, Path]) -> None:
    """Write the folder for the frozen program in ``files``, and its launcher.

    :param binaries: those in ``files``.
    :param system: where those come from that are from the system, except those that PyInstaller has collected.
    """
    collected = json.loads(COLLECTED.read_text("utf-8"))
    sources = {Path(name).name: Path(path) for name, path in collected["binaries"].items()} | dict(system)
    contents = {name: [of_module(name)] for name in collected["modules"]}
    for path in binaries:
        contents[path.name] = list(of_binary(path.relative_to(files), sources.get(path.name, path)))
    contents["smtpmock"] = [ours(), of_distribution(BOOTLOADER), of_file(system["libc.so.6"])]
    write(files / "licenses", contents)


def write(folder: Path, contents: Mapping[str, list[Component]]) -> None:
    components = {name: paths for found in contents.values() for name, _, paths in found}
    for name, paths in components.items():
        if not paths:
            sys.exit(f"No licence of {name} is installed; it travels in the archive, and must not without")
        for path in paths:
            copy(path, folder / name)
            copy_common(path, folder / "common-licenses")
    lines = [
        f"{name}: {', '.join(f'{component} {version}'.rstrip() for component, version, _ in found)}\n"
        for name, found in sorted(contents.items())
    ]
    (folder / "contents.txt").write_text("".join(lines), "utf-8")


def copy(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)


def copy_common(path: Path, folder: Path) -> None:
    """Copy the texts that this one refers to."""
    for name in set(re.findall(rf"{COMMON}/([\w.+-]*\w)", path.read_text("utf-8", "replace"))):
        copy(COMMON / name, folder)


def of_module(name: str) -> Component:
    if name in OURS:
        return ours()
    if name in sys.stdlib_module_names:
        return python()
    return of_distribution(metadata.packages_distributions()[name][0])


def of_binary(name: Path, source: Path) -> Iterator[Component]:
    """Of a library, and of what is compiled into it."""
    if source.is_relative_to(sysconfig.get_path("platlib")):
        yield of_module(name.parts[0].partition(".")[0])
    elif "lib-dynload" in name.parts or source.name.startswith("libpython"):
        yield python()
    else:
        yield of_file(source)
    if linked := LINKED.get(source.name.partition(".")[0]):
        package, _, paths = of_package(owner(linked))
        yield package or linked, "", paths  # its version is not Debian's


def ours() -> Component:
    return "smtpmock", metadata.version("smtpmock-cli"), [ROOT / "LICENSE"]


def python() -> Component:
    return "python", platform.python_version(), [Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"]


def of_distribution(name: str) -> Component:
    found = metadata.distribution(name)
    paths = [path for path in found.files or () if path.parts[0].endswith(".dist-info")]
    return name, found.version, sorted(Path(str(p.locate())) for p in paths if LICENSE_NAME.search(p.name))


def of_file(path: Path) -> Component:
    """Of a file of the system's."""
    # A package may have its files by /lib, or by /usr/lib, which are one folder.
    real = os.path.realpath(path)
    for candidate in (str(path), real, real.removeprefix("/usr"), f"/usr{path}"):
        if package := owner(candidate):
            return of_package(package)
    return path.name, "", []


def owner(path: str) -> str:
    """The package that has a file, or the first that has one by this pattern; or nothing."""
    lines = query("--search", path).splitlines()
    # As ``libc6:amd64: PATH``; where a package keeps another from a path of its own, lines say that as well.
    return next((line.partition(":")[0] for line in lines if not line.startswith("diversion ")), "")


def of_package(name: str) -> Component:
    path = Path("/usr/share/doc") / name / "copyright"
    version = query("--show", "--showformat=${Version}", name)
    return name, version, [path] if version and path.is_file() else []


def query(*arguments: str) -> str:
    """What Debian's package manager answers, or nothing where it knows nothing."""
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True).stdout
