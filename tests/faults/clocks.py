"""Clocks: ways to start the program with a wall clock that a test sets, while the monotonic one goes on.

Invariant: the test writes by how many seconds the clock is wrong into a file, and the program meets it from its next
look at the clock on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.tools import libfaketime
from tests.helpers import PROGRAM

_WRAPPED = """
import sys, time
from pathlib import Path
shift, right = Path(sys.argv.pop(1)), time.time
time.time = lambda: right() + float(shift.read_text())
from smtpmock_cli.__main__ import main
sys.exit(main())
"""


class Clock(NamedTuple):
    """What to start a daemon with, and the file by which its clock is set."""

    options: dict[str, Any]
    shift: Path

    def set_by(self, seconds: int) -> None:
        # Under another name first: the program may look at any time.
        work = self.shift.with_suffix(".new")
        work.write_text(f"{seconds:+d}")
        work.replace(self.shift)


def in_the_interpreter(folder: Path) -> Clock:
    """time.time() is another."""
    shift = folder / "shift"
    return _set_right(Clock({"program": (sys.executable, "-c", _WRAPPED, str(shift))}, shift))


def in_the_c_library(folder: Path) -> Clock:
    """libfaketime stands before the C library.

    :raises ToolMissing: it is not here and cannot be fetched.
    """
    shift = folder / "shift"
    faked = {
        "LD_PRELOAD": str(libfaketime()),
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its older name
    }
    return _set_right(Clock({"program": PROGRAM, "env": os.environ | faked}, shift))


WAYS: tuple[Callable[[Path], Clock], ...] = (in_the_interpreter, in_the_c_library)


def _set_right(clock: Clock) -> Clock:
    clock.set_by(0)
    return clock
