"""What a hostile line costs: the recognisers on the worst lines of the greatest length.

Every line is a frame that gets past a recogniser's first check, filled with one unit again and again.
All are timed a little, and the dearest again with care: a disturbance only adds time, so that the
worst line is among the dearest either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from timeit import repeat
from typing import NamedTuple

from smtpmock_cli.smtp import grammar, path

from . import report

LINE = 64 * 1024
"""Bytes of the longest line."""
AT_MOST, PATHS_AT_MOST = 1000.0, 2000.0
"""µs a line; the second is for the patterns of ESMTP's paths."""
FINALISTS = 12
SCREENINGS, RUNS = 2, 40
"""How often a line is timed; the least time counts."""
QUICK_RUNS = 8

UNITS = (
    *("a", "A", "a.", "aa.", "a.a", "1", "1a", "1a1a.", "0a1b2c3d4e5f6g7h8i9j", "0.1-2.3-4.5-6.7-8.9-a."),
    *("-", "a-", ".", "..", " ", "\t\f\r <", ">", "@", "a@", "<", "<<a@", "[", "]", ":", "::", "1.", "1:"),
    *("é", "éa", "éa.", "1é", "ж", "жa.", "中", "\U00010400", "a\U00010400."),
    *("\u0345", "\u0345a", "\u0345a.", "\u0345 <\t\f\r", "\u0345 <é", "\u0345é.1"),
    # Case is not simple there: two letters for one, a final form, letters that fold to ASCII.
    *("\u0130", "Σ", "Σ.", "Σ:::::::", "\u017f", "a\u017f", "\u212a", "\u212a.", "ß", "\u0131"),
    *("mail from", "mail from;", "rcpt to", "dat", "DAT", "hel", "da\u017f", "m", "nooquirse", "q", "ipv6:"),
    *("!#$%&'*+-/=?^_{|}~`", "!#é", "\udcff", "a\udcff"),
)
"""Lone surrogates stand for bytes that are not UTF-8."""

WIDENERS = ("", "é", "ж", "\U00010400")
"""One such letter makes the interpreter store every character of the line in more bytes."""

_ADDRESS_FRAMES = (
    ("", ""),
    ("", "<a@example.com>"),
    ("<", "@example.com>"),
    ("a ", "a@example.com>"),
    ("<a@", ""),
    ("<a@", "com>"),
    ("<a@", ".com>"),
    ("<a@b", "b.com>"),
)
_PATH_FRAMES = (
    ("<", ""),
    ("<", "@b>"),
    ('<"', '"@b>'),
    ("<a@", ">"),
    ("<a@b", "b>"),
    ("<@b", ":a@c>"),
    ("<a@[", "]>"),
    ("<a@b> ", ""),
    ("<a@b> A=", ""),
)
FRAMES = {
    "helo_argument": (
        ("HELO ", ""),
        ("HELO ", "com"),
        ("HELO ", ".com"),
        ("HELO b", "b.com"),
        ("EHLO [", "]"),
        ("EHLO [IPv6:", "]"),
    ),
    "mailfrom_address": tuple((f"MAIL FROM:{before}", after) for before, after in _ADDRESS_FRAMES),
    "rcptto_address": tuple((f"RCPT TO:{before}", after) for before, after in _ADDRESS_FRAMES),
    "holds_command_word": (("", ""), ("x", "x")),
    "reverse_path": tuple((f"MAIL FROM:{before}", after) for before, after in _PATH_FRAMES),
    "forward_path": tuple((f"RCPT TO:{before}", after) for before, after in _PATH_FRAMES),
}
RECOGNISERS: dict[str, Callable[[str], object]] = {
    name: getattr(path if name in ("reverse_path", "forward_path") else grammar, name) for name in FRAMES
}


class Hostile(NamedTuple):
    """A line of any length: ``before``, units, ``wide``, ``after``."""

    before: str
    unit: str
    wide: str
    after: str

    def line(self, size: int) -> str:
        """The line as a recogniser gets it, of ``size`` bytes or a little less on the wire."""
        ends = len(_wire(self.before + self.wide + self.after))
        count = (size - ends) // len(_wire(self.unit))
        return grammar.decode_line(_wire(self.before + self.unit * count + self.wide + self.after))

    def __str__(self) -> str:
        return f"{self.before!a} + {self.unit!a} × n + {self.wide + self.after!a}"


def measure(*, quick: bool, rounds: int) -> bool:
    """Print the table. The rounds are for peers; here the least of many runs counts."""
    report.title("Recognisers, a hostile line of 64 KiB")
    rows = [_row(name, QUICK_RUNS if quick else RUNS) for name in FRAMES]
    report.table(["recogniser", "worst, µs", "at most", "× one isalpha()", "64 KiB ÷ 32 KiB", "worst line"], rows)
    return True


def _row(name: str, runs: int) -> list[str]:
    recognise = RECOGNISERS[name]
    at_most = PATHS_AT_MOST if recognise.__module__ == path.__name__ else AT_MOST
    worst = _worst(recognise, FRAMES[name], runs)
    line = worst.line(LINE)
    cost = _cost(recognise, line, runs)
    half = _cost(recognise, worst.line(LINE // 2), runs)
    letters = _cost(str.isalpha, _letters_like(line), runs)
    return [
        *(name, f"{cost:.0f}", f"{at_most:.0f}", f"{cost / letters:.1f}", f"{cost / half:.2f}"),
        # A bar of the line's would end the table's cell.
        str(worst).replace("|", r"\|"),
    ]


def _worst(recognise: Callable[[str], object], frames: Sequence[tuple[str, str]], runs: int) -> Hostile:
    """The line that costs the recogniser most."""
    lines = [Hostile(before, unit, wide, after) for before, after in frames for unit in UNITS for wide in WIDENERS]
    report.progress(f"{recognise.__name__}: {len(lines):,} lines")
    dearest = sorted(lines, key=lambda hostile: -_cost(recognise, hostile.line(LINE), SCREENINGS))
    return max(dearest[:FINALISTS], key=lambda hostile: _cost(recognise, hostile.line(LINE), runs))


def _cost(recognise: Callable[[str], object], line: str, runs: int) -> float:
    """The least µs that one call takes."""
    return min(repeat(lambda: recognise(line), number=1, repeat=runs)) * 1e6


def _letters_like(line: str) -> str:
    """As many letters, stored as wide: isalpha() would leave the line itself at its first space."""
    widest = ord(max(line))
    stored_alike = {0x7F: "a", 0xFF: "é", 0xFFFF: "ж", 0x10FFFF: "\U00010400"}
    return next(letter for top, letter in stored_alike.items() if widest <= top) * len(line)


def _wire(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
