"""How many descriptors this process may have open: its soft limit, which its children begin with."""

from __future__ import annotations

import sys

from benchmarks import report

USUAL = 1024
"""What most shells give."""
_SPARE = 200
"""For all else than the connections that are asked for."""
_SELECTABLE = 512
"""Sockets that select() takes on Windows, where there is nothing better and no such limit."""


def lower() -> None:
    """Go down to what is usual, so that a child that needs more has to see to it."""
    if sys.platform != "win32":
        import resource  # only here: Windows has none

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft > USUAL:
            resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL, hard))


def enough_for(wanted: int) -> int:
    """Go up to what so many connections take, or as far as that goes; how many there can be."""
    count = min(wanted, _allowed(wanted + _SPARE) - _SPARE)
    if count < wanted:
        report.note(f"{count:,} connections, not {wanted:,}: the system allows no more.")
    return count


def _allowed(needed: int) -> int:
    """The soft limit, raised to what is needed, or as far as that goes."""
    allowed = _SELECTABLE
    if sys.platform != "win32":
        import resource  # only here, as above

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
