"""A made-up release, served from loopback by the paths that GitHub's releases have."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.helpers import PATIENCE

LATEST = "2.7.0"
ARCHIVES = (
    "smtpmock_Linux_x86_64.tar.gz",
    "smtpmock_Linux_arm64.tar.gz",
    "smtpmock_Darwin_x86_64.tar.gz",
    "smtpmock_Darwin_arm64.tar.gz",
    "smtpmock_Windows_x86_64.zip",
)

STAND_IN = """#!/bin/sh
read -r built_for <"${0%/*}/smtpmock-files/built-for"
echo "$built_for: $*"
"""
"""The program of a release: shows that it runs, and with which files beside it."""


class Release:
    """The server, and what it gives out: ``release.files[path]``, to be changed at will."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_off: set[str] = set()
        """Paths of which only the first half arrives."""
        self.held: set[str] = set()
        """Paths that are never answered; :attr:`reached` says that one was asked for."""
        self.reached = threading.Event()
        self.asked: list[str] = []
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def publish(self, version: str = LATEST, *, program: str = STAND_IN, **more: bytes) -> None:
        """All archives of a version and their checksums; ``more`` files lie in the program's folder."""
        sums = ""
        for name in ARCHIVES:
            packed = archive(name, version, program, more)
            self.files[path(name, version)] = packed
            sums += f"{sha256(packed)}  {name}\n"
        self.files[path("checksums.txt", version)] = sums.encode()

    def publish_archive(self, name: str, packed: bytes, version: str = LATEST) -> None:
        """One archive alone, with its right checksum."""
        self.files[path(name, version)] = packed
        self.files[path("checksums.txt", version)] = f"{sha256(packed)}  {name}\n".encode()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        if request.path.startswith("/latest/"):
            request.send_response(302)
            request.send_header("Location", path(request.path.rpartition("/")[2], LATEST))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if request.path in self.held:
            self.reached.set()
            self._over.wait(PATIENCE)
            return
        content = self.files.get(request.path)
        request.send_response(404 if content is None else 200)
        content = b"<html>Not Found</html>" if content is None else content
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if request.path in self.cut_off else content)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, as those do that the tests end."""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, release: Release, *arguments: Any) -> None:
        self.release = release
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.release.answer(self)

    def log_message(self, *_: Any) -> None:
        """Not on the tests' output."""


def path(name: str, version: str = LATEST) -> str:
    return f"/download/v{version}/{name}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive(name: str, version: str, program: str = STAND_IN, more: dict[str, bytes] | None = None) -> bytes:
    """What ``script/build`` would make: the program and its folder, without an entry for the folder itself."""
    inside = {"built-for": f"{version} {name}\n".encode(), **(more or {})}
    files = {f"smtpmock-files/{key}": content for key, content in inside.items()}
    if name.endswith(".zip"):
        return zipped({"smtpmock.exe": program.encode(), **files})
    return tarred({"smtpmock": program.encode(), **files})


def tarred(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644 if "/" in name else 0o755
            entry.uid = entry.gid = 12345  # the packer's: nobody's here
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 0  # Windows, where no file has a mode
            made.writestr(entry, content)
    return packed.getvalue()
