"""What every archive has to pass before anything else is asked of it: its program starts, and a mail goes through."""

from __future__ import annotations

import json
import platform
import re
import smtplib
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helpers import PATIENCE, ROOT, daemon, free_port

PROCESSORS = {"amd64": "x86_64", "aarch64": "arm64"}
ELF_PROCESSORS = {b"\x3e\0": "x86_64", b"\xb7\0": "arm64"}
_ELF_PROCESSOR = slice(18, 20)
START_LIMIT = 3 * PATIENCE
"""Seconds that a first start may take where another system is emulated."""


def own_archive() -> str:
    """The name of this platform's archive."""
    machine = platform.machine().lower()
    ending = "zip" if sys.platform == "win32" else "tar.gz"
    return f"smtpmock_{platform.system()}_{PROCESSORS.get(machine, machine)}.{ending}"


def archive_of(program: Path) -> str:
    """The name of a program's archive; Linux may emulate a program for another processor than its own."""
    with program.open("rb") as opened:
        head = opened.read(_ELF_PROCESSOR.stop)
    if not head.startswith(b"\x7fELF"):
        return own_archive()
    return f"smtpmock_Linux_{ELF_PROCESSORS[head[_ELF_PROCESSOR]]}.tar.gz"


def unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        return
    with tarfile.open(archive) as packed_tar:
        # Not as an argument, which Python before 3.11.4 does not know.
        packed_tar.extraction_filter = getattr(tarfile, "data_filter", None)
        packed_tar.extractall(folder)


def assert_starts(*program: str | Path, **options: Any) -> None:
    """``-v`` answers, and a mail goes in by SMTP and comes out over HTTP.

    :param program: the words of a command: the program, and before it what runs programs of its platform.
    :param options: for both processes, as ``env``.
    """
    words = [str(word) for word in program]
    done = subprocess.run(
        [*words, "-v"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=START_LIMIT,
        check=False,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(rb"smtpmock: \S+\r?\ncommit: \S+\r?\nbuilt at: \S+\r?\n", done.stdout)
    http_port = free_port()
    with daemon(f"-httpPort={http_port}", program=words, stdin=subprocess.PIPE, **options) as running:
        with smtplib.SMTP("127.0.0.1", running.port, "example.com", timeout=PATIENCE) as client:
            assert client.sendmail("a@example.com", ["b@example.com"], "Subject: hi\r\n\r\nHello\r\n") == {}
        assert bodies(http_port) == ["Subject: hi\r\n\r\nHello\r\n"]


def bodies(http_port: int) -> Sequence[str]:
    """Those of all messages, once there is one."""
    url = f"http://127.0.0.1:{http_port}/smtpmock/messages?count=1&timeout={PATIENCE:.0f}"
    with urllib.request.urlopen(url, timeout=2 * PATIENCE) as answer:
        return [message["msg_request"] for message in json.load(answer)["messages"]]
