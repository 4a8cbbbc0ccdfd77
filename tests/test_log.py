from __future__ import annotations

import io
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from unicodedata import bidirectional

import pytest

from smtpmock_cli.log import BACKLOG_LIMIT, LINES_AT_ONCE, Log, escape
from tests import unix
from tests.helpers import PATIENCE


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


def test_a_stream_whose_descriptor_is_closed_is_given_up(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        number = os.dup(file.fileno())
        os.close(file.fileno())
        log = Log(file, None)
        log.info("lost")
        log.flush()
        assert not log.activity
        os.dup2(number, file.fileno())
        os.close(number)


def test_bytes_that_are_not_utf8_go_out_as_they_came() -> None:
    raw = io.BytesIO()
    log = Log(io.TextIOWrapper(raw, "ascii"), None)
    log.info("é \udcff")
    log.flush()
    assert raw.getvalue().endswith("é ".encode() + b"\xff\n")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é 日本 🎉 \u200d \udca0\udcff \\", "plain é 日本 🎉 \u200d \udca0\udcff \\"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\tb\r\nINFO: c", r"a\x09b\x0d\x0aINFO: c"),
        ("\x00\x1f\x7f\x80\x85\x9f\xa0", r"\x00\x1f\x7f\x80\x85\x9f" + "\xa0"),
        ("\u2027\u2028\u2029\u202f", "\u2027" + r"\u2028\u2029" + "\u202f"),
        ("\u061c\u200e\u200f", r"\u061c\u200e\u200f"),
        ("\u202a\u202b\u202c\u202d\u202e", r"\u202a\u202b\u202c\u202d\u202e"),
        ("\u2066\u2067\u2068\u2069\u206a", r"\u2066\u2067\u2068\u2069" + "\u206a"),
        ("\udc80\udc85\udc9b\udc9f", r"\x80\x85\x9b\x9f"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_every_line_of_the_log_is_one_line_to_its_reader() -> None:
    out = io.StringIO()
    log = Log(out, None)
    # Each character of the plane that has them all, and each byte that is not UTF-8.
    everything = [chr(code) for code in (*range(0xD800), *range(0xDC80, 0xDD00), *range(0xE000, 0x10000))]
    for character in everything:
        log.info(f"a{character}INFO: forged")
    log.flush()
    assert len(out.getvalue().splitlines()) == len(everything)
    assert {bidirectional(character) for character in out.getvalue()}.isdisjoint(DIRECTIONS)
    assert {*"\u061c\u200e\u200f"}.isdisjoint(out.getvalue())


DIRECTIONS = ("FSI", "LRE", "LRI", "LRO", "PDF", "PDI", "RLE", "RLI", "RLO")
"""The classes of the characters that turn around what follows them (UAX #9 section 2)."""


class Pipe:
    """A pipe with a log at one end, and the calls back that the log has asked for."""

    def __init__(self, *, to_err: bool = False) -> None:
        reader, writer = os.pipe()
        self.reader = os.fdopen(reader, "rb", buffering=0)
        self.stream = os.fdopen(writer, "w")
        self.asked: list[Callable[[], bool]] = []
        self.log = Log(None, self.stream) if to_err else Log(self.stream, None)
        self.log.when_writable = lambda _, callback: self.asked.append(callback)

    def fill(self, count: int) -> list[bytes]:
        """Log so many lines, a flush each; gives their texts."""
        texts = [f"line {number} {'x' * 1000}" for number in range(count)]
        for text in texts:
            self.log.warning(text)
            self.log.error(text)
            self.log.flush()
        return [text.encode() for text in texts]

    def read(self) -> bytes:
        """All that the log has for its reader, called back until it says that this is all."""
        unix.os.set_blocking(self.reader.fileno(), False)
        got, done = b"", not self.asked
        while True:
            part = self.reader.read(BACKLOG_LIMIT)
            got += part or b""
            if not part and done:
                return got
            done = done or self.asked[-1]()

    @contextmanager
    def read_meanwhile(self) -> Iterator[list[bytes]]:
        """Read in another thread up to the end, which is made here at last; the list has it all then."""
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(self.reader.readall() or b""))
        reader.start()
        yield got
        self.stream.close()
        reader.join(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        with suppress(BrokenPipeError):
            self.stream.close()


def texts(written: bytes) -> list[bytes]:
    """Log lines without level and stamp; each has to be whole."""
    assert written.endswith(b"\n")
    return [line.split(b" ", 3)[3] for line in written.splitlines()]


needs_pipes = pytest.mark.skipif(
    not hasattr(select, "poll"), reason="this system cannot tell whether a pipe takes bytes"
)


@needs_pipes
@pytest.mark.parametrize("to_err", [False, True])
def test_a_pipe_that_nobody_reads_yet_gets_all_in_order(to_err: bool) -> None:
    with Pipe(to_err=to_err) as pipe:
        sent = pipe.fill(500)
        assert len(pipe.asked) == 1
        assert texts(pipe.read()) == sent
        assert texts_after(pipe) == [b"line 0 " + b"x" * 1000]


def texts_after(pipe: Pipe) -> list[bytes]:
    """What a line becomes once the reader has caught up: it goes out at once."""
    pipe.asked.clear()
    pipe.fill(1)
    assert pipe.asked == []
    return texts(pipe.read())


@needs_pipes
@pytest.mark.parametrize("to_err", [False, True])
def test_what_a_pipe_has_no_room_for_is_counted_and_told_in_its_place(to_err: bool) -> None:
    with Pipe(to_err=to_err) as pipe:
        sent = pipe.fill(3000)
        *kept, notice = texts(pipe.read())
        assert kept == sent[: len(kept)]
        assert len(b"".join(kept)) >= BACKLOG_LIMIT
        lost = len(sent) - len(kept)
        assert notice == b"%d lines of the log were lost, because nobody read them" % lost
        assert len(texts_after(pipe)) == 1


@needs_pipes
def test_the_backlog_is_bounded_whatever_one_event_brings() -> None:
    with Pipe() as pipe:
        pipe.log.repeat_info("x" * 100, 100 * LINES_AT_ONCE)
        assert len(pipe.asked) == 1  # written out before the turn's end
        pipe.log.flush()
        *kept, notice = texts(pipe.read())
        assert BACKLOG_LIMIT < len(kept) * 140 < 4 * BACKLOG_LIMIT
        assert int(notice.split()[0]) == 100 * LINES_AT_ONCE - len(kept)


@needs_pipes
def test_who_reads_on_loses_nothing_however_much_there_is() -> None:
    with Pipe() as pipe:
        with pipe.read_meanwhile() as got:
            pipe.log.repeat_info("x" * 100, 100 * LINES_AT_ONCE)
            pipe.log.close()
        assert texts(got[0]) == [b"x" * 100] * (100 * LINES_AT_ONCE)


@needs_pipes
def test_two_streams_on_one_pipe_are_one_log() -> None:
    with Pipe() as pipe, os.fdopen(os.dup(pipe.stream.fileno()), "w") as err:
        pipe.log.direct(pipe.stream, err, activity=True)
        expected = []
        for number in range(3000):
            # Longer than what a pipe takes as a whole, now and then.
            out, bad = f"out {number} {'x' * (number % 100)}", f"err {number} {'x' * (number % 1000 * 5)}"
            pipe.log.info(out)
            pipe.log.error(bad)
            pipe.log.flush()
            expected += [out.encode(), bad.encode()]
        assert len(pipe.asked) == 1
        *lines, notice = texts(pipe.read())
        assert lines == expected[: len(lines)]
        assert int(notice.split()[0]) == len(expected) - len(lines)


@needs_pipes
def test_a_pipe_whose_reader_leaves_is_given_up() -> None:
    with Pipe() as pipe:
        pipe.fill(500)
        pipe.reader.close()
        assert pipe.asked[0]()
        assert not pipe.log.activity


@needs_pipes
def test_a_pipe_whose_reader_has_left_is_given_up_amid_many_lines() -> None:
    with Pipe() as pipe:
        pipe.reader.close()
        pipe.log.repeat_info("x", 10 * LINES_AT_ONCE)
        pipe.log.flush()
        assert not pipe.log.activity


@needs_pipes
def test_a_backlog_comes_before_what_is_logged_after_another_direction() -> None:
    with Pipe() as pipe:
        sent = pipe.fill(500)
        pipe.log.direct(None, None, activity=False)
        pipe.log.direct(pipe.stream, None, activity=True)
        sent += pipe.fill(1)
        assert texts(pipe.read()) == sent
        assert len(pipe.asked) == 1


@needs_pipes
def test_the_end_waits_for_a_reader_who_reads() -> None:
    with Pipe() as pipe:
        sent = pipe.fill(500)
        with pipe.read_meanwhile() as got:
            pipe.log.close()
        assert texts(got[0]) == sent


@needs_pipes
def test_the_end_does_not_wait_for_a_reader_who_does_not() -> None:
    with Pipe() as pipe:
        sent = pipe.fill(500)
        pipe.log.close()
        pipe.stream.close()
        part = pipe.reader.readall()
        assert b"line 0 " in part
        assert len(part) < len(b"".join(sent))


@needs_pipes
def test_without_a_loop_a_pipe_is_waited_for() -> None:
    with Pipe() as pipe:
        pipe.log.when_writable = None
        with pipe.read_meanwhile() as got:
            sent = pipe.fill(500)
        assert texts(got[0]) == sent


@needs_pipes
def test_a_backlog_that_a_flush_takes_away_is_waited_for_once() -> None:
    line = "x" * (2 * BACKLOG_LIMIT)
    with Pipe() as pipe, os.fdopen(os.dup(pipe.reader.fileno()), "rb") as lines:
        pipe.log.info(line)
        pipe.log.flush()
        reader = threading.Thread(target=lambda: [lines.readline() for _ in range(2)])
        reader.start()
        pipe.log.info("taken at once, and the line before it")
        pipe.log.flush()
        reader.join(PATIENCE)
        pipe.log.info(line)
        pipe.log.flush()
        assert len(pipe.asked) == 1, "the first has not said that it is done"
        assert len(texts(pipe.read())) == 1
        pipe.fill(500)
        assert len(pipe.asked) == 2, "it has by now"


@needs_pipes
def test_two_streams_of_one_descriptor_are_waited_for_once() -> None:
    with Pipe() as pipe, os.fdopen(pipe.stream.fileno(), "w", closefd=False) as other:
        pipe.fill(500)
        pipe.log.direct(other, None, activity=True)
        pipe.fill(500)
        assert len(pipe.asked) == 1
        assert len(texts(pipe.read())) == 1000
