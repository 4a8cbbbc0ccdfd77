"""How fast messages are taken, beside Postfix's smtp-sink and aiosmtpd.

A round sends the same load to each peer in turn, so that whatever else the machine does meets all of
them alike; a ratio is made within a round, never across two.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from typing import NamedTuple

from tests.e2e.tools import Tool, ToolMissing, smtp_source

from . import report
from .processes import Launch, Load, MeasurementError, Peer, aiosmtpd, ours, running, send, sink, warm_up

SINK, OURS, AIOSMTPD = "smtp-sink", "ours", "aiosmtpd"
KB, MB = 1024, 1024 * 1024
AIOSMTPD_AT_LEAST = 2.0
"""How many times as fast as aiosmtpd ours has to be."""
QUICK = 10
"""A quick run sends this part of the messages."""
WARM_UP = 20
"""A warm-up sends this part of the messages."""


class Case(NamedTuple):
    """A row: a load, the flags that ours gets for it, and the shares of smtp-sink to reach."""

    name: str
    load: Load
    at_least: float
    aim: float
    flags: tuple[str, ...] = ()
    beside_aiosmtpd: bool = False


# Not: -multipleMessageReceiving for the kept connection, because smtp-source sends no RSET between
# its messages, and without the flag as well each of them gets its 250.
CASES = (
    Case("1 KB, a connection each", Load(20_000, KB), 0.40, 0.60, beside_aiosmtpd=True),
    Case("1 KB, connection kept", Load(20_000, KB, connection_kept=True), 0.30, 0.40),
    Case("1 MB", Load(300, MB), 1.5, 2.5),
    Case("1 KB, a connection each, -log to a file", Load(20_000, KB), 0.30, 0.45, flags=("-log",)),
)

Seconds = dict[str, list[float]]
"""A peer's name, and what each of its rounds took."""


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table; False where a measurement failed."""
    report.title("Throughput")
    try:
        source = smtp_source()
    except ToolMissing as missing:
        report.note(f"Not measured: {missing}.")
        return True
    peers = _peers()
    rows: list[list[str]] = []
    failures: list[str] = []
    for case in CASES:
        try:
            rows += _rows(case, _seconds(source, case, _launches(case, peers), quick, rounds))
        except MeasurementError as failure:
            failures.append(f"{case.name}: failed: {failure}")
    if rows:
        report.table(["load", "ours, share of smtp-sink (median, min–max)", "at least", "aim"], rows)
    for text in failures:
        report.note(text)
    return not failures


def _peers() -> dict[str, Launch]:
    """The peers that are here."""
    peers: dict[str, Launch] = {}
    try:
        peers[SINK] = sink()
    except ToolMissing as missing:
        report.note(f"No share of smtp-sink: {missing}.")
    if find_spec("aiosmtpd"):
        peers[AIOSMTPD] = aiosmtpd()
    else:
        report.note("Not beside aiosmtpd: it is missing: install it (pip install aiosmtpd).")
    return peers


def _launches(case: Case, peers: dict[str, Launch]) -> dict[str, Launch]:
    """What a round of the case measures, in order; nothing where ours would stand alone."""
    wanted = (SINK, OURS, AIOSMTPD) if case.beside_aiosmtpd else (SINK, OURS)
    all_here = {**peers, OURS: ours(*case.flags)}
    launches = {name: all_here[name] for name in wanted if name in all_here}
    return launches if len(launches) > 1 else {}


def _seconds(source: Tool, case: Case, launches: dict[str, Launch], quick: bool, rounds: int) -> Seconds:
    load = case.load._replace(messages=case.load.messages // (QUICK if quick else 1))
    with ExitStack() as stack:
        peers = [stack.enter_context(running(name, launch)) for name, launch in launches.items()]
        for peer in peers:
            warm_up(source, load._replace(messages=load.messages // WARM_UP), peer)
        taken: Seconds = {peer.name: [] for peer in peers}
        for number in range(1, rounds + 1):
            for peer in peers:
                taken[peer.name].append(send(source, load, peer))
            _tell(case, number, rounds, taken, peers)
        return taken


def _tell(case: Case, number: int, rounds: int, taken: Seconds, peers: list[Peer]) -> None:
    times = ", ".join(f"{peer.name} {taken[peer.name][-1]:.2f} s" for peer in peers)
    if times:
        report.progress(f"{case.name}, round {number} of {rounds}: {times}")


def _rows(case: Case, taken: Seconds) -> list[list[str]]:
    rows = []
    if SINK in taken:
        rows.append([case.name, report.spread(_ratios(taken, SINK)), f"{case.at_least:.2f}", f"{case.aim:.2f}"])
    if AIOSMTPD in taken:
        times = f"{report.spread(_ratios(taken, AIOSMTPD))} × aiosmtpd"
        rows.append([f"{case.name}: beside aiosmtpd", times, f"{AIOSMTPD_AT_LEAST:.0f} × aiosmtpd", ""])
    return rows


def _ratios(taken: Seconds, peer: str) -> list[float]:
    """How fast ours is in each round, as a multiple of the peer; 1 is as fast."""
    return [theirs / own for theirs, own in zip(taken[peer], taken[OURS], strict=True)]
