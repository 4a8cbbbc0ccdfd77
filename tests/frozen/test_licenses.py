"""Everything that travels in the archive for Linux has its licence there."""

from __future__ import annotations

import marshal
import re
import sys
from pathlib import Path

import pytest

from .processes import linux

pytestmark = linux

ELF = b"\x7fELF"
PYZ = b"PYZ\x00"
"""The begin of PyInstaller's archive of modules; Python's magic number and the place of its contents follow."""
COMPONENTS = {"cffi", "click", "cryptography", "h11", "idna", "pyinstaller", "python", "smtpmock", "trustme"}
"""Those that have this name on every machine; the others are packages of the system's."""


@pytest.fixture
def files(program: Path) -> Path:
    return program.resolve().with_name("smtpmock-files")


@pytest.fixture
def contents(files: Path) -> dict[str, list[str]]:
    """The names of the components of each library and each Python package."""
    lines = (files / "licenses/contents.txt").read_text("utf-8").splitlines()
    split = (line.partition(": ") for line in lines)
    return {name: [component.split()[0] for component in found.split(", ")] for name, _, found in split}


def libraries(files: Path) -> set[str]:
    return {path.name for path in files.rglob("*") if path.is_file() and path.read_bytes().startswith(ELF)}


def packages(files: Path) -> set[str]:
    """The first parts of the names of all modules in PyInstaller's archive."""
    data = (files / "smtpmock").read_bytes()
    for found in re.finditer(re.escape(PYZ), data):
        archive = data[found.start() :]
        place = int.from_bytes(archive[8:12], "big")
        try:
            return {name.partition(".")[0] for name, _ in marshal.loads(archive[place:])}
        except (EOFError, TypeError, ValueError):
            continue  # the same bytes elsewhere
    raise AssertionError(data[:20])


def test_each_library_and_each_package_has_its_components(files: Path, contents: dict[str, list[str]]) -> None:
    assert {"libc.so.6", "libcrypto.so.3", "libgcc_s.so.1", "smtpmock"} <= libraries(files)
    assert {"smtpmock_cli", "cryptography", "trustme", "idna"} <= packages(files)
    assert libraries(files) <= contents.keys()
    assert packages(files) <= contents.keys()
    # The build may have had another Python, with other modules of its own, most of which begin so.
    public = {name for name in packages(files) if not name.startswith("_")}
    strangers = public - sys.stdlib_module_names - {"smtpmock_cli", "smtpmock_build"}
    assert [name for name in strangers if set(contents[name]) <= {"python", "smtpmock"}] == []


def test_each_component_has_its_licence(files: Path, contents: dict[str, list[str]]) -> None:
    components = {component for found in contents.values() for component in found}
    assert components >= COMPONENTS
    assert len(components - COMPONENTS) >= 4, "glibc, OpenSSL, zlib, GCC's library"
    for component in components:
        texts = [path.read_text("utf-8", "replace") for path in (files / "licenses" / component).iterdir()]
        assert any(re.search("copyright|licen[cs]e", text, re.IGNORECASE) for text in texts), component


def test_what_licences_refer_to_is_there(files: Path) -> None:
    """Debian has the texts that many share in a folder that other systems lack."""
    folder = files / "licenses"
    named = {
        name
        for path in folder.glob("*/*")
        for name in re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", path.read_text("utf-8", "replace"))
    }
    assert {"GPL-3", "LGPL-2.1"} <= named
    assert {path.name for path in (folder / "common-licenses").iterdir()} == named


def test_what_is_linked_into_a_library_counts(contents: dict[str, list[str]]) -> None:
    """OpenSSL, libffi, and the C library that the launcher has in it."""
    (rust,) = (found for name, found in contents.items() if name.startswith("_rust."))
    (cffi,) = (found for name, found in contents.items() if name.startswith("_cffi_backend."))
    assert set(rust) == {"cryptography", *contents["libssl.so.3"]}
    assert cffi[0] == "cffi"
    assert cffi[1].startswith("libffi")
    assert set(contents["smtpmock"]) == {"smtpmock", "pyinstaller", *contents["libc.so.6"]}
