"""What a call costs: in the interpreter's steps, or in the processor's as callgrind counts them."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from tests.helpers import ROOT

from .case import Call, Case
from .inputs import SQUARE, cases

PROCESSES = min(4, os.cpu_count() or 1)
"""That count instructions side by side, each a share of the cases: a count does not depend on what else runs."""
CALLGRIND_LIMIT = 600.0
"""Seconds after which the count is given up."""
_MARK = "getppid"
"""What is called around each call that is to be counted, and is called by nobody else."""
_COST = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class CannotCount(Exception):  # noqa: N818 - nothing is wrong with what is counted
    """There is no callgrind, or it does not know this processor; the text says which."""


def bytecodes(call: Call) -> int:
    """How many instructions of the interpreter it takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before, here = sys.gettrace(), sys._getframe()
    here.f_trace_opcodes = True  # Python 3.12 looks for such a frame when the tracing begins, and only then
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        here.f_trace_opcodes = False
    return count


def counted() -> tuple[Case, ...]:
    """What :func:`instructions` counts."""
    return (*cases(), SQUARE)


def instructions(sizes: Sequence[int], folder: Path) -> dict[str, list[int]]:
    """How many instructions of the processor each case takes, for each of the sizes.

    :raises CannotCount: it can't be done here.
    """
    program = shutil.which("valgrind")
    if program is None:
        raise CannotCount("valgrind is not here, which counts the instructions of C: apt-get install valgrind")
    with ThreadPoolExecutor(PROCESSES) as threads:
        counts = threads.map(lambda share: _instructions(program, share, sizes, folder / str(share)), range(PROCESSES))
        return {name: costs for count in counts for name, costs in count.items()}


def _instructions(program: str, share: int, sizes: Sequence[int], folder: Path) -> dict[str, list[int]]:
    """One process's share of the cases.

    Callgrind writes what it has counted each time that the mark is called: first what came before, then a call, then
    what it took to prepare the next one, and so on. The first call is of nothing, and is taken off the others.
    """
    folder.mkdir()
    counting = [program, "--tool=callgrind", f"--dump-before={_MARK}", f"--callgrind-out-file={folder}/part"]
    child = [sys.executable, "-m", "tests.linear.steps", *map(str, (share, *sizes))]
    ended = subprocess.run(
        [*counting, *child],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CALLGRIND_LIMIT,
    )
    complaint = ended.stderr.decode("utf-8", "replace")
    if ended.returncode < 0:
        raise CannotCount(f"valgrind cannot run this Python on this processor: {complaint[-200:]}")
    assert ended.returncode == 0, complaint
    own = counted()[share::PROCESSES]
    nothing, *costs = [_cost(folder, 2 * number) for number in range(1, 2 + len(own) * len(sizes))]
    return {
        case.name: [cost - nothing for cost in costs[number * len(sizes) :][: len(sizes)]]
        for number, case in enumerate(own)
    }


def _cost(folder: Path, part: int) -> int:
    found = _COST.search((folder / f"part.{part}").read_text("ascii"))
    assert found is not None
    return int(found[1])


def _be_counted(share: int, *sizes: int) -> None:
    gc.disable()  # when it runs is a matter of all that ran before
    mark = getattr(os, _MARK)
    mark()
    mark()
    for case in counted()[share::PROCESSES]:
        case.call(64)()  # what is made on first use is no cost of the input's
        for size in sizes:
            call = case.call(size)
            mark()
            call()
            mark()


if __name__ == "__main__":
    _be_counted(*map(int, sys.argv[1:]))
