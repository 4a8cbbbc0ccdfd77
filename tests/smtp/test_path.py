from __future__ import annotations

from collections.abc import Callable

import pytest

from smtpmock_cli.smtp.path import Path, forward_path, is_domain, reverse_path

BOTH = pytest.mark.parametrize(("words", "read"), [("MAIL FROM:", reverse_path), ("rcpt to:", forward_path)])


@BOTH
@pytest.mark.parametrize(
    ("path", "mailbox"),
    [
        ("<a@b.co>", "a@b.co"),
        (" <a@b.co>", "a@b.co"),
        ("<A@b>", "A@b"),
        ("<a.b+c/d=e!#$%&'*-?^_`{|}~@b-c--d.e1>", "a.b+c/d=e!#$%&'*-?^_`{|}~@b-c--d.e1"),
        ('<""@b>', '""@b'),
        ('<"a b.@>,\\" \\\\\\x"@b.co>', '"a b.@>,\\" \\\\\\x"@b.co'),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<@b.co:a@d.co>", "a@d.co"),
        ("<@b,@c.co:a@d.co>", "a@d.co"),
        ("<zoë@münchen.de>", "zoë@münchen.de"),
        ("<用户@例子.广告>", "用户@例子.广告"),
        ('<"zoë ü"@b>', '"zoë ü"@b'),
        ("<\U00010400@b>", "\U00010400@b"),
        ("<postmaster@b.co>", "postmaster@b.co"),
    ],
)
def test_paths(words: str, read: Callable[[str], Path | None], path: str, mailbox: str) -> None:
    found = read(words + path)
    assert found == mailbox
    assert found.parameters == {}


@BOTH
@pytest.mark.parametrize(
    "path",
    [
        *("", "a@b.co", "<a@b.co", "a@b.co>", "<a>", "<@b>", "<a@>", "<a@b@c>", "<<a@b>>", "< a@b>", "<a@b >"),
        *("<.a@b>", "<a.@b>", "<a..b@c>", "<a b@c>", "<a(b)@c>", "<a,b@c>", "<a@b.>", "<a@.b>", "<a@b..c>"),
        *("<a@-b>", "<a@b->", "<a@b-.c>", "<a@b_c>", "<a@b/c>", '<"a@b>', '<a"b"@c>', '<"a"b@c>', '<"a\\"@b>'),
        *('<"a\tb"@c>', '<"a\\\tb"@c>', "<a@[192.0.2]>", "<a@[256.0.2.1]>", "<a@[::1]>", "<a@[IPv6:]>", "<a@[]>"),
        *("<a@[x400:b]>", "<a@[192.0.2.1>", "<a@192.0.2.1]>", "<@b.co a@d.co>", "<@b.co,a@d.co>", "<@b,c:a@d>"),
        *("<@:a@d>", "<@b:>", "<\udcff@b>", "<a@\udcff>", '<"\udcff"@b>', "<a\x00@b>", "<a\x7f@b>"),
        *("<a@b>x", "<a@b> A=\udcff", "<a@b>\tSIZE=1", "<>x", "\t<a@b>"),
    ],
)
def test_what_is_no_path(words: str, read: Callable[[str], Path | None], path: str) -> None:
    assert read(words + path) is None


def test_the_null_path_and_postmaster_are_for_one_side_each() -> None:
    assert (reverse_path("MAIL FROM:<>"), forward_path("RCPT TO:<>")) == ("", None)
    assert (reverse_path("MAIL FROM:<Postmaster>"), forward_path("RCPT TO:<PostMaster>")) == (None, "PostMaster")


@BOTH
@pytest.mark.parametrize("before", ["MAIL TO:", "MAIL FROM", "RCPT FROM:", "MAIL  FROM:", "MAIL FROM :", ""])
def test_the_words_are_demanded(words: str, read: Callable[[str], Path | None], before: str) -> None:
    assert read(before + "<a@b.co>") is None


@BOTH
@pytest.mark.parametrize(
    ("behind", "parameters"),
    [
        (" SIZE=10", {"SIZE": "10"}),
        (" size=10  Body=8bitmime", {"SIZE": "10", "BODY": "8bitmime"}),
        (" SMTPUTF8", {"SMTPUTF8": ""}),
        (' X-1=<a@b>"c"+3D', {"X-1": '<a@b>"c"+3D'}),
        (" ENVID=é\u3000", {"ENVID": "é\u3000"}),
        (" ", {}),
    ],
)
def test_parameters(words: str, read: Callable[[str], Path | None], behind: str, parameters: dict[str, str]) -> None:
    found = read(f"{words}<a@b.co>{behind}")
    assert found is not None
    assert found.parameters == parameters


@BOTH
@pytest.mark.parametrize(
    "behind", [" =", " SIZE=", " =1", " A=b=c", " -A", " A_B", " a a", " SIZE=1 size=2", " é", " A=\x7f"]
)
def test_what_are_no_parameters(words: str, read: Callable[[str], Path | None], behind: str) -> None:
    found = read(f"{words}<a@b.co>{behind}")
    assert found == "a@b.co"
    assert found.parameters is None


def test_domains() -> None:
    assert all(map(is_domain, ["a", "localhost", "a.b", "1", "1.2.3.4", "xn--a", "a--b", "zoë.de"]))
    assert not any(map(is_domain, ["", ".", "a.", ".a", "-a", "a-", "a_b", "a b", "a\n", "\udcff", "[1.2.3.4]"]))


UNITS = ("a", "a.", "a-", "-", '"', '\\"', "@a,", "@a:", "a@", " A", "é", "\U00010400", "]", "=")
FRAMES = (("<", ""), ("<", "@b>"), ('<"', '"@b>'), ("<a@", "b>"), ("<@", "b:a@c>"), ("<a@b> ", ""), ("<a@[", "]>"))


@pytest.mark.parametrize(("before", "after"), FRAMES)
@pytest.mark.parametrize("unit", UNITS)
def test_no_line_costs_more_than_its_length(before: str, after: str, unit: str) -> None:
    """A pattern that came back to a character would be looking for minutes here."""
    for count in (1000, 500_000):
        line = f"MAIL FROM:{before}{unit * count}{after}"
        short = f"MAIL FROM:{before}{unit * 3}{after}"
        found = reverse_path(line)
        assert (found is None) == (reverse_path(short) is None)
