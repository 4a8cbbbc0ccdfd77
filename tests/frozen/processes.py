"""The frozen program as a process that listens."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import PATIENCE, ROOT, Daemon

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in Linux's /proc")


def run(program: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )


@contextmanager
def listening(program: Path | str, *flags: str, folder: Path | None = None, **options: Any) -> Iterator[Daemon]:
    """A daemon that listens, and is gone afterwards; it is killed if it is still there much later.

    :param folder: where to start it, on POSIX.
    """
    if folder is not None:
        options["preexec_fn"] = partial(os.chdir, folder)
    with Daemon(*flags, program=[str(program)], **options) as running:
        killer = threading.Timer(3 * PATIENCE, running.process.kill)
        killer.start()
        try:
            running.wait_until_listening()
            yield running
        finally:
            killer.cancel()
            killer.join()


def assert_serves(program: Path | str, *flags: str, **options: Any) -> None:
    with listening(program, *flags, **options) as running, running.client() as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


def processes_with(variable: str) -> list[int]:
    """The processes that have ``NAME=VALUE`` in their environment: a spawned one, and all that it spawned."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if os.fsencode(variable) in variables:
            found.append(int(folder.name))
    return found
