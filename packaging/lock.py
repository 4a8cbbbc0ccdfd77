"""A folder that only one process makes at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the next process to get it finds what this one has made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if sys.platform != "win32":  # where nothing is emulated
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
