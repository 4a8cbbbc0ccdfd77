"""What the kernel tells of a process, where there is a /proc."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.processes import MeasurementError, Peer
from tests.helpers import PATIENCE

WHY_NOT = "this system has no /proc"
KB = 1024


def is_here() -> bool:
    return Path("/proc/self/status").exists()


def resident(peer: Peer) -> int:
    """Bytes in memory now; the kernel's socket buffers do not count."""
    return _status(peer, "VmRSS") * KB


def peak(peer: Peer) -> int:
    """The most bytes in memory since :func:`reset_peak`."""
    return _status(peer, "VmHWM") * KB


def reset_peak(peer: Peer) -> None:
    _file(peer, "clear_refs").write_text("5", "ascii")


def switches(peer: Peer) -> int:
    """How often the process gave up its processor, or lost it: it ran once more than that at the least."""
    return _status(peer, "voluntary_ctxt_switches") + _status(peer, "nonvoluntary_ctxt_switches")


def ticks(peer: Peer) -> int:
    """Processor time in the kernel's ticks, its own and that of its system calls (proc(5), utime and stime)."""
    behind_name = _file(peer, "stat").read_text("ascii", "replace").rpartition(") ")[2].split()
    return int(behind_name[11]) + int(behind_name[12])


def wait_until_asleep(peer: Peer) -> None:
    """Return once the process waits for something to come: its last reply goes out a little before."""
    end = time.monotonic() + PATIENCE
    while "S (sleeping)" not in _file(peer, "status").read_text("ascii", "replace"):
        if time.monotonic() > end:
            raise MeasurementError(f"{peer.name} does not come to rest")
        time.sleep(0.005)


def _status(peer: Peer, name: str) -> int:
    lines = _file(peer, "status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _file(peer: Peer, name: str) -> Path:
    return Path(f"/proc/{peer.pid}/{name}")
