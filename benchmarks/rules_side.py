"""What rules cost that never fire: the server with a hundred of them beside the server without."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.e2e.tools import Tool, ToolMissing, smtp_source

from . import report
from .processes import Load, MeasurementError, ours, running, send

KB = 1024
MESSAGES = 20_000
"""In each round; a quick run sends a tenth."""
AT_LEAST = 0.85
_KINDS = (
    'on = "rcpt"\nmatch = "*@{number}.example"',
    'on = "mail"\nsender = "{number}@*"',
    'on = "message"\nmatch = "invoice {number} *"',
    'on = "message"\ncontains = "number {number} of them"',
    'on = "any"\nmatch = "{number}"',
)
RULES = "\n".join(
    f'[[rule]]\n{_KINDS[number % len(_KINDS)].format(number=number)}\nreply = "451 No"' for number in range(100)
)
"""Of all kinds, and on all that a session says."""


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table; False where a measurement failed."""
    report.title("A hundred rules that do not fire")
    loads = {
        f"1 KB, {name}": Load(MESSAGES // (10 if quick else 1), KB, connection_kept=kept)
        for name, kept in (("a connection each", False), ("connection kept", True))
    }
    try:
        source = smtp_source()
        rows = [
            [name, report.spread(_shares(source, name, load, rounds)), f"at least {AT_LEAST}"]
            for name, load in loads.items()
        ]
    except ToolMissing as missing:
        report.note(f"Not measured: {missing}.")
        return True
    except MeasurementError as failure:
        report.note(f"Failed: {failure}")
        return False
    report.table(["load", "throughput, share of without", "limit"], rows)
    return True


def _shares(source: Tool, name: str, load: Load, rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text(RULES, "utf-8")
        with running("without", ours()) as without, running("with rules", ours(f"-rules={path}")) as ruled:
            shares = []
            for number in range(rounds + 1):
                share = send(source, load, without) / send(source, load, ruled)
                if number:  # the first is to warm up
                    shares.append(share)
                    report.progress(f"rules: {name}: round {number} of {rounds}: {share:.2f} of the throughput without")
    return shares
