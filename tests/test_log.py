from __future__ import annotations

import io
import time

import pytest

from smtpmock_cli.log import Log, escape


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_lines_and_streams() -> None:
    out, err = io.StringIO(), io.StringIO()
    log = Log(out, err, clock=lambda: 1_700_000_000.015625)
    log.info("one")
    log.error("two")
    log.warning("three")
    assert out.getvalue() == err.getvalue() == ""
    log.flush()
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(1_700_000_000)) + ".015625"
    assert out.getvalue() == f"INFO: {stamp} one\nWARNING: {stamp} three\n"
    assert err.getvalue() == f"ERROR: {stamp} two\n"


def test_stamps_follow_the_clock() -> None:
    out, now = io.StringIO(), iter([1.25, 1.999999, 2.0, 1.5])
    log = Log(out, None, clock=lambda: next(now))
    for _ in range(4):
        log.info("")
    log.flush()
    assert [line.split()[2][-9:] for line in out.getvalue().splitlines()] == [
        "01.250000",
        "01.999999",
        "02.000000",
        "01.500000",
    ]


def test_without_activity_only_warnings_and_errors_are_written() -> None:
    out, err = io.StringIO(), io.StringIO()
    log = Log(out, err, activity=False)
    log.info("no")
    log.repeat_info("no", 3)
    log.warning("yes")
    log.error("yes")
    log.flush()
    assert (out.getvalue().count("yes"), err.getvalue().count("yes"), out.getvalue().count("no")) == (1, 1, 0)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_repeated_lines(count: int) -> None:
    out = io.StringIO()
    log = Log(out, None)
    log.repeat_info("again", count)
    log.flush()
    assert out.getvalue().count("again\n") == count


def test_a_stream_that_breaks_is_given_up_and_the_other_goes_on() -> None:
    err = io.StringIO()
    log = Log(Broken(), err)
    log.info("lost")
    log.flush()
    assert not log.activity
    log.warning("lost")
    log.error("kept")
    log.flush()
    assert err.getvalue().endswith("kept\n")


def test_bytes_that_are_not_utf8_go_out_as_they_came() -> None:
    raw = io.BytesIO()
    log = Log(io.TextIOWrapper(raw, "ascii"), None)
    log.info("é \udcff")
    log.flush()
    assert raw.getvalue().endswith("é ".encode() + b"\xff\n")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é \udcff \u2028 \\", "plain é \udcff \u2028 \\"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\tb\r\nINFO: c", r"a\x09b\x0d\x0aINFO: c"),
        ("\x00\x1f\x7f\x80\x9f\xa0", r"\x00\x1f\x7f\x80\x9f" + "\xa0"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped
