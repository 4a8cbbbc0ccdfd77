"""Lines that do not fit: what was begun of one is taken back or fenced off, and what is lost is counted."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from smtpmock_cli.log import Log
from smtpmock_cli.log_sink import WholeLines

BINARY = getattr(os, "O_BINARY", 0)
"""Without it, Windows makes CR LF of each LF."""


class Disk:
    """A file that takes so many bytes, and then fails.

    :param meanwhile: called before it fails.
    """

    def __init__(self, path: Path, *, append: bool = True, error: int = errno.ENOSPC) -> None:
        self.path = path
        self.room = 10**9
        self.meanwhile: Callable[[], object] = lambda: None
        self._error = error
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | BINARY | (os.O_APPEND if append else 0))
        self.whole = WholeLines()

    def write(self, data: memoryview) -> int:
        if not self.room:
            self.meanwhile()
            raise OSError(self._error, os.strerror(self._error))
        count = os.write(self.fd, data[: self.room])
        self.room -= count
        return count

    def append(self, lines: bytes, room: int = 10**9) -> int:
        """How many lines were not written, with so much room."""
        self.room = room
        unwritten, error = self.whole.append(self.write, self.fd, lines)
        assert (error is not None) == bool(unwritten)
        return unwritten

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO]


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("room", range(10))
def test_of_what_does_not_fit_nothing_stays(tmp_path: Path, error: int, append: bool, room: int) -> None:
    disk = Disk(tmp_path / "file", append=append, error=error)
    assert disk.append(b"one\n") == 0
    assert disk.append(b"two\nthree\n", room) == (2 if room < 4 else 1)
    assert disk.content == b"one\n" + b"two\n" * (room >= 4)
    assert disk.append(b"four\n") == 0
    assert disk.content == b"one\n" + b"two\n" * (room >= 4) + b"four\n"


@pytest.mark.parametrize("again", [0, 1, 3])
def test_behind_which_others_have_written_is_fenced_off(tmp_path: Path, again: int) -> None:
    disk = Disk(tmp_path / "file")
    other = os.open(disk.path, os.O_WRONLY | os.O_APPEND | BINARY)
    disk.meanwhile = lambda: os.write(other, b"theirs\n")
    assert disk.append(b"one\n", room=2) == 1
    disk.meanwhile = lambda: None
    assert disk.append(b"two\n", room=again) == 1
    assert disk.append(b"three\n") == 0
    assert disk.append(b"four\n") == 0
    os.close(other)
    lines = disk.content.split(b"\n")
    assert lines[0] == b"ontheirs", "the one line that is broken, because the other did not fence itself off"
    assert [line for line in lines if line] == [b"ontheirs", b"three", b"four"]


def test_what_cannot_be_taken_back_is_fenced_off(tmp_path: Path) -> None:
    """A device: here a pipe, which has neither an end nor a length."""
    reader, writer = os.pipe()
    disk = Disk(tmp_path / "file")
    os.dup2(writer, disk.fd)
    assert disk.append(b"one\ntwo\n", room=6) == 1
    assert disk.append(b"three\n") == 0
    os.close(writer)
    os.close(disk.fd)
    assert os.read(reader, 100) == b"one\ntw\nthree\n"
    os.close(reader)


def test_a_file_that_ends_within_a_line_gets_its_end(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "file")
    os.write(disk.fd, b"hal")
    disk.whole = WholeLines(is_torn=True)
    assert disk.append(b"one\n") == 0
    assert disk.append(b"two\n") == 0
    assert disk.content == b"hal\none\ntwo\n"


class Full(io.StringIO):
    """A stream without a descriptor, which takes nothing while it is full."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def texts(stream: io.StringIO) -> list[str]:
    return [re.sub(r" \d{4}/\S+ \S+", "", line) for line in stream.getvalue().splitlines()]


def test_the_other_stream_says_once_that_one_fails_and_that_goes_on() -> None:
    out, err = Full(), io.StringIO()
    log = Log(out, err)
    for text in ("one", "two"):
        log.info(text)
        log.flush()
    assert texts(err) == ["ERROR: write stdout: no space left on device"]
    assert log.activity
    out.is_full = False
    log.info("three")
    log.flush()
    assert texts(out) == ["WARNING: 2 lines of the log were lost: no space left on device", "INFO: three"]
    out.is_full = True
    log.info("four")
    log.flush()
    assert texts(err) == ["ERROR: write stdout: no space left on device"] * 2
    out.is_full = False
    log.close()
    assert texts(out)[-1] == "WARNING: 1 line of the log was lost: no space left on device"


def test_a_failing_stderr_is_told_on_stdout() -> None:
    out, err = io.StringIO(), Full()
    log = Log(out, err, activity=False)
    log.error("one")
    log.flush()
    assert texts(out) == ["WARNING: write stderr: no space left on device"]
    err.is_full = False
    log.error("two")
    log.flush()
    assert texts(err) == ["ERROR: 1 line of the log was lost: no space left on device", "ERROR: two"]


def test_when_both_fail_each_says_what_it_lacks() -> None:
    out, err = Full(), Full()
    log = Log(out, err)
    for _ in range(3):
        log.info("lost")
        log.error("lost")
        log.flush()
    out.is_full = err.is_full = False
    log.close()
    # One more than was logged, because the first thing that it lacks is the word of the other's failure.
    assert texts(out) == ["WARNING: 4 lines of the log were lost: no space left on device"]
    assert texts(err) == ["ERROR: 3 lines of the log were lost: no space left on device"]


def test_an_alarm_is_on_stderr_without_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(None, None)
    log.error("dropped")
    log.alarm("said")
    assert [line.split(" ", 3)[::3] for line in capfd.readouterr().err.splitlines()] == [["ERROR:", "said"]]
    log.close()


def test_an_alarm_is_in_the_log_where_there_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    err = io.StringIO()
    log = Log(io.StringIO(), err)
    log.error("one")
    log.alarm("two")
    assert texts(err) == ["ERROR: one", "ERROR: two"]
    assert capfd.readouterr().err == ""
