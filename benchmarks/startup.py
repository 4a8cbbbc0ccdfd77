"""How long a start takes, from the spawn to the greeting, beside the bare interpreter in the same run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from tests.certificates import make_certificate

from . import report
from .processes import HOST, ROOT, START_LIMIT, STOP_LIMIT, MeasurementError, free_port

STARTS = 60
"""Spawns of each program; a quick run makes a sixth of them."""
FROZEN = ROOT / "dist" / ("smtpmock.exe" if sys.platform == "win32" else "smtpmock")
INSTALLED = Path(sys.executable).with_name("smtpmock")
BARE = (sys.executable, "-I", "-S", "-c", "pass")
MEDIAN_AT_MOST, MEDIAN_AIM, LATE_AT_MOST = 50.0, 38.0, 80.0
"""Milliseconds, of the frozen program: the median, its aim, and the 95th percentile."""


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the tables; False where a measurement failed. The programs take turns, ``rounds`` is not used."""
    report.title("Start-up, spawn to greeting")
    starts = STARTS // (6 if quick else 1)
    with tempfile.TemporaryDirectory() as folder:
        return _measure(starts, _programs(Path(folder)))


def _programs(folder: Path) -> dict[str, tuple[str, ...]]:
    """What to start, by the name that the table gives it."""
    programs: dict[str, tuple[str, ...]] = {"installed by pip": (str(INSTALLED),)}
    if not FROZEN.exists():
        report.note("The frozen program is missing: script/build makes it.")
        return programs
    certificate = make_certificate(folder)
    flags = {
        "": (),
        ", -esmtp": ("-esmtp",),
        ", AUTH": ("-authUsers=joe:secret",),
        ", TLS": (f"-tlsCert={certificate.both}",),
    }
    return {f"frozen{name}": (str(FROZEN), *given) for name, given in flags.items()} | programs


def _measure(starts: int, programs: dict[str, tuple[str, ...]]) -> bool:
    times: dict[str, list[float]] = {name: [] for name in ("bare interpreter", *programs)}
    try:
        for number in range(starts + 1):
            taken = {"bare interpreter": bare_seconds()} | {name: greeting(argv) for name, argv in programs.items()}
            if number:  # the first start of each warms the file cache
                for name, seconds in taken.items():
                    times[name].append(seconds * 1000)
    except MeasurementError as failure:
        report.note(f"Failed: {failure}")
        return False
    show(times)
    report.note(f"Modules imported by a start: {', '.join(imported())}.")
    return True


def show(times: dict[str, list[float]]) -> None:
    bare = median(times["bare interpreter"])
    rows = []
    for name, taken in times.items():
        limits = [f"{MEDIAN_AT_MOST:.0f} ({LATE_AT_MOST:.0f})", f"{MEDIAN_AIM:.0f}"] if name == "frozen" else ["", ""]
        late = quantiles(taken, n=20)[-1]
        rows.append([name, f"{median(taken):.1f}", f"{late:.1f}", f"{median(taken) / bare:.2f}", *limits])
    header = ["program", "median, ms", "95th percentile, ms", "× bare interpreter", "at most (95th)", "aim"]
    report.table(header, rows)


def bare_seconds() -> float:
    begun = time.perf_counter()
    subprocess.run(BARE, check=True, timeout=START_LIMIT)
    return time.perf_counter() - begun


def greeting(argv: Sequence[str]) -> float:
    """Seconds from the spawn to the greeting's first byte.

    :raises MeasurementError: it does not come.
    """
    port = free_port()
    begun = time.perf_counter()
    process = subprocess.Popen([*argv, f"-port={port}"], cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        while (passed := time.perf_counter() - begun) < START_LIMIT:
            if greets(port):
                return time.perf_counter() - begun
            time.sleep(0.0005)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_LIMIT)
    raise MeasurementError(f"{argv[0]} does not greet within {passed:.0f} s")


def greets(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), START_LIMIT) as client:
            return client.recv(1) != b""
    except ConnectionRefusedError:
        return False


def imported() -> list[str]:
    """The modules that a start imports beyond those of the bare interpreter."""
    version = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "smtpmock_cli", "-port=99999"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=START_LIMIT,
    )
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", *BARE[1:]], capture_output=True, text=True, timeout=START_LIMIT
    )
    return sorted(names(version.stderr) - names(bare.stderr))


def names(importtime: str) -> set[str]:
    return set(re.findall(r"^import time:.*\| +(\S+)$", importtime, re.MULTILINE))
