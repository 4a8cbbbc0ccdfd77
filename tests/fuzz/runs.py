"""Runs: a target in a process of its own, bounded in executions and time, and what came of it.

Invariants: what was learnt stays in the target's corpus, so that the next run goes on from there; a run that ends
otherwise than by its bounds is a finding, whatever it says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.helpers import ROOT

from .targets import MODULES, load

CACHE = ROOT / ".cache/fuzz"
SLOWEST_EXECUTION = 10
"""Seconds after which one execution is a finding."""
MEMORY_LIMIT = 2048
"""MiB over which a run is a finding."""
_GRACE = 120.0
"""Seconds that a run may take longer than it was given: instrumenting, and reading the corpus."""
_MOST_SEEDS = 1000
"""Of more, each second or third is taken: those that lie together are much alike."""
MISSING = (
    "atheris is missing, which leads the fuzzing by coverage: it is for Linux on x86-64, by pip install "
    "'smtpmock-cli[dev]'. Elsewhere script/test tests/fuzz plays all seeds through all targets."
)


class Run(NamedTuple):
    """What came of a run; ``finding`` is an input, or where the run's output is, or None."""

    target: str
    executions: int
    seconds: float
    features: int
    finding: Path | None


def is_possible() -> bool:
    return find_spec("atheris") is not None


def fuzz(target: str, executions: int, seconds: int, folder: Path | None = None, seed: int = 0) -> Run:
    """Run a target until one of the bounds is reached.

    :param folder: keeps its corpus, findings and output.
    :param seed: makes a run with an empty corpus as every other with it; 0 for another each time.
    """
    own = (folder or CACHE) / target
    corpus, findings, output = own / "corpus", own / "findings", own / "output.txt"
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made_now:
        dictionary = _write_inputs(target, Path(made_now))
        known = {*findings.iterdir()}
        begun = time.monotonic()
        code = _run(
            target,
            output,
            seconds + _GRACE,
            f"-runs={executions}",
            f"-max_total_time={seconds}",
            f"-max_len={load(MODULES[target]).LONGEST}",
            f"-dict={dictionary}",
            f"-artifact_prefix={findings}/",
            f"-timeout={SLOWEST_EXECUTION}",
            f"-rss_limit_mb={MEMORY_LIMIT}",
            f"-seed={seed}",
            "-print_final_stats=1",
            str(corpus),
            str(Path(made_now, "seeds")),
        )
        took = time.monotonic() - begun
    said = output.read_text("utf-8", "replace")
    new = sorted({*findings.iterdir()} - known)
    finding = new[0] if new else None if code == 0 else output
    return Run(target, _executions(said), took, _last(said, r"ft: (\d+)"), finding)


def replay(target: str, input_file: Path) -> None:
    """Give a target one input, without atheris; fails as the target does."""
    load(MODULES[target]).check(input_file.read_bytes())


def _run(target: str, output: Path, patience: float, *arguments: str) -> int:
    """The exit code, with the output in a file; one that does not end is killed."""
    command = [sys.executable, "-m", "tests.fuzz.libfuzzer", MODULES[target], *arguments]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # the order of a set is coverage too
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            return 1
        finally:
            process.kill()
            process.wait()


def _write_inputs(target: str, folder: Path) -> Path:
    """Seeds, a file each, and the dictionary, whose path is given."""
    module = load(MODULES[target])
    seeds = folder / "seeds"
    seeds.mkdir()
    all_seeds = list(dict.fromkeys(module.seeds()))
    for number, seed in enumerate(all_seeds[:: len(all_seeds) // _MOST_SEEDS + 1]):
        (seeds / f"{number:04}").write_bytes(seed)
    dictionary = folder / "tokens.dict"
    dictionary.write_text("".join(f'"{_escaped(token)}"\n' for token in module.TOKENS), "ascii")
    return dictionary


def _escaped(token: bytes) -> str:
    return "".join(rf"\x{byte:02x}" for byte in token)


def _executions(said: str) -> int:
    """As libFuzzer counts them, at the end or, where it came to none, as far as it told."""
    return _last(said, r"number_of_executed_units: (\d+)") or _last(said, r"^#(\d+)")


def _last(said: str, pattern: str) -> int:
    found = re.findall(pattern, said, re.MULTILINE)
    return int(found[-1]) if found else 0
