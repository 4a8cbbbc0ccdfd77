"""The program as a process: flags, exit codes, streams, signals, and what is left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration
from smtpmock_cli.version import VERSION
from tests import unix
from tests.helpers import (
    HELO,
    PATIENCE,
    PROGRAM,
    ROOT,
    TRANSACTION,
    Client,
    Daemon,
    daemon,
    free_port,
    log_texts,
    recording,
)

COMMAND_LINES = recording("cli.json")
STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
LOG_STAMP = STAMP + r"\.\d{6}"
SHUTDOWN = "WARNING: SMTP mock server is in the shutdown mode and won't accept new connections"
STOPPED = "INFO: SMTP mock server was stopped successfully"
FORCED = "INFO: SMTP mock server was force stopped by timeout"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process, and forks none")
STOP_SIGNALS = [number for name in ("SIGINT", "SIGQUIT", "SIGTERM") if (number := getattr(signal, name, None))]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    words = [*PROGRAM, *arguments]
    return subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=PATIENCE, **options)


@pytest.mark.parametrize("case", COMMAND_LINES, ids=lambda case: " ".join(case["args"]))
def test_command_line(case: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        arguments = [argument.replace("BUSY", port) for argument in case["args"]]
        if case["exit"] == "keeps running":
            keeps_running_unless_we_refuse(arguments)
            return
        done = run(*arguments)
    assert done.returncode == case["exit"]
    assert re.fullmatch(pattern(case["stdout"], port), done.stdout)
    assert re.fullmatch(pattern(case["stderr"], port), done.stderr)


def pattern(recorded: str, port: str) -> str:
    """A recorded output as a pattern, the first line of the usage text standing for the rest."""
    text = re.escape(recorded.replace("BUSY", port)).replace("STAMP", STAMP)
    text = text.replace(f"ERROR:\\ {STAMP}", f"ERROR:\\ {LOG_STAMP}").replace("VERSION", re.escape(VERSION))
    text = text.replace("COMMIT", r"\S+").replace("BUILT", r"\S+")
    return re.sub(r"<USAGE>\\\n", lambda _: r"Usage: smtpmock \[flags\]\n(?s:.*)\n", text)


def keeps_running_unless_we_refuse(arguments: list[str]) -> None:
    if "false" in arguments:
        done = run(*arguments)
        assert (done.returncode, done.stderr.splitlines()[0]) == (2, "unexpected argument: false")
        return
    with daemon(*arguments) as running, running.client() as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@pytest.mark.parametrize(
    ("arguments", "first_line"),
    [
        (["-sessionTimeout=-1"], 'invalid value "-1" for flag -sessionTimeout: must be 0 or more'),
        (["-msgSizeLimit", "-0x10"], 'invalid value "-0x10" for flag -msgSizeLimit: must be 0 or more'),
        (["-port=1", "word", "-log"], "unexpected argument: word"),
        (["-port=1", "-", "-log"], "unexpected argument: -"),
        (["-port=1", "--", "-log"], "unexpected argument: -log"),
        (["-port=a", "-foo"], 'invalid value "a" for flag -port: parse error'),
        (["-log=maybe", "-port=a"], 'invalid boolean value "maybe" for -log: parse error'),
        (["-port=a", "-port=1"], 'invalid value "a" for flag -port: parse error'),
        (['-port="\t\x01é'], 'invalid value "\\"\\t\\x01é" for flag -port: parse error'),
        (["-v=false", "-foo"], "flag provided but not defined: -foo"),
        (["-msgGreeting=x", "-port"], "flag needs an argument: -port"),
    ],
)
def test_first_thing_wrong_from_the_left_is_reported(arguments: list[str], first_line: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (2, "", first_line)


CANNOT_START = "Failed to start SMTP mock server on port: 99999"


@pytest.mark.parametrize(
    ("arguments", "code", "first_line"),
    [
        (["-port=99999", ""], 1, CANNOT_START),
        (["", "-port=99999"], 1, CANNOT_START),
        (["", "", "-port", "99999", "", ""], 1, CANNOT_START),
        (["-failFast", "", "-port=99999"], 1, CANNOT_START),
        (["-port=99999", "--", ""], 1, CANNOT_START),
        (["-host", "", "-port=99999"], 1, CANNOT_START),
        (["", "word"], 2, "unexpected argument: word"),
        (["-log", "", "--", "", "-v"], 2, "unexpected argument: -v"),
        (["", "-foo"], 2, "flag provided but not defined: -foo"),
        (["-port", ""], 2, 'invalid value "" for flag -port: parse error'),
        (["", "-h", "-foo"], 0, "Usage: smtpmock [flags]"),
    ],
)
def test_an_empty_argument_is_nothing(arguments: list[str], code: int, first_line: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[0].endswith(first_line)


LOCALES: list[dict[str, str]] = [
    {},
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX"},
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "PYTHONUTF8": "1"},
]


@posix
@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(locale.values()))
@pytest.mark.parametrize(
    ("argument", "first_line"),
    [
        (b"-foo\xff\xc3\xa9", b"flag provided but not defined: -foo\xff\xc3\xa9"),
        (b"word\xed\xa0\x80\xe2\x80\xa8", b"unexpected argument: word\xed\xa0\x80\xe2\x80\xa8"),
        (b"---\xff=\xc3\xa9", b"bad flag syntax: ---\xff=\xc3\xa9"),
        (b"-port=\xff\xc3\xa9", b'invalid value "\\xff\xc3\xa9" for flag -port: parse error'),
        (b"-messagesFile=/\xff\xc3\xa9/x", b"Failed to write messages file /\xff\xc3\xa9/x: no such file or directory"),
        (b"-portFile=/\xff\xc3\xa9/x", b"Failed to write port file /\xff\xc3\xa9/x: no such file or directory"),
        (b"-tlsCert=/\xff\xc3\xa9", b"Failed to load TLS certificate /\xff\xc3\xa9: no such file or directory"),
        (b"-rules=/\xff\xc3\xa9", b'invalid value "/\\xff\xc3\xa9" for flag -rules: no such file or directory'),
    ],
)
def test_an_error_repeats_an_arguments_bytes(argument: bytes, first_line: bytes, locale: dict[str, str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "LANG" and name[:3] != "LC_"}
    done = subprocess.run(
        [*PROGRAM, argument], cwd=ROOT, env=inherited | locale, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode in (1, 2)
    assert done.stderr.split(b"\n")[0].endswith(first_line)


def test_usage_lists_every_flag_in_eighty_columns() -> None:
    usage = run("-h").stderr
    assert max(len(line) for line in usage.splitlines()) <= 80
    shown = re.findall(r"^  -(\w+)", usage, re.MULTILINE)
    assert sorted(shown) == sorted({known.flag for known in Configuration.SETTINGS} | {"v", "ready"})
    assert len(re.findall(r"\(default\s", usage)) == len(shown) - 2


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_stops_an_idle_server_at_once(number: int) -> None:
    with daemon() as running:
        running.signal(number)
        assert running.finish() == (0, [SHUTDOWN, STOPPED], [])
        with socket.create_server(("127.0.0.1", running.port)):
            pass


@posix
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ignored_by_the_parent_still_stops(number: int) -> None:
    """A shell starts background commands with SIGINT and SIGQUIT ignored."""
    with daemon(preexec_fn=lambda: signal.signal(number, signal.SIG_IGN)) as running:
        running.signal(number)
        assert running.finish()[0] == 0


def test_a_session_ends_after_the_reply_it_owes() -> None:
    with daemon("-responseDelayHelo=1", "-shutdownTimeout=10") as running, running.client() as client:
        client.send(HELO + b"NOOP\r\n")
        wait_for_line(running, "SMTP response delay: 1 sec")
        running.signal(signal.SIGTERM)
        assert client.rest() == b"250 Received\r\n"
        client.close()
        code, out, _ = running.finish()
        assert (code, out[-1]) == (0, STOPPED)


def test_a_session_in_its_body_may_finish_it() -> None:
    with daemon("-shutdownTimeout=10") as running, running.client() as client:
        client.envelope()
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        client.send(b"text\r\n.\r\nNOOP\r\n")
        assert client.rest() == b"250 Received\r\n"
        client.close()
        assert running.finish()[0] == 0


def test_an_idle_session_may_go_on_for_one_command() -> None:
    with daemon("-shutdownTimeout=10") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        with pytest.raises(ConnectionRefusedError):
            Client(running.port)
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        assert client.rest() == b""
        client.close()
        assert running.finish() == (0, [*NOOP_LOG, STOPPED], [])


NOOP_LOG = ["INFO: SMTP request: NOOP", "INFO: SMTP response: 250 Ok", "INFO: SMTP session finished"]


def test_an_idle_session_is_cut_at_the_shutdown_timeout() -> None:
    with daemon("-shutdownTimeout=1") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        assert client.rest() == b""
        code, out, err = running.finish()
        assert (code, err) == (0, [])
        assert out[-3:] == [SHUTDOWN, "INFO: SMTP session finished", FORCED]


def test_a_second_signal_cuts_at_once() -> None:
    with daemon("-shutdownTimeout=3600") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        running.signal(signal.SIGINT)
        assert client.rest() == b""
        code, out, _ = running.finish()
        assert (code, out[-1]) == (0, FORCED)


@posix
def test_sigkill_leaves_the_port_free() -> None:
    with daemon() as running, running.client():
        running.signal(unix.signal.SIGKILL)
        assert running.finish()[0] == -unix.signal.SIGKILL
        with daemon(port=running.port) as next_one, next_one.client() as client:
            assert client.ask(b"NOOP\r\n") == "250 Ok"


@posix
def test_without_log_nothing_is_written() -> None:
    port = free_port()
    with subprocess.Popen(
        [*PROGRAM, f"-port={port}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        with connected(port) as client:
            client.send(TRANSACTION + b"\x1b[31m\r\nQUIT\r\n")
            client.rest()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == 0


def connected(port: int) -> Client:
    """A client of a server that says nothing of its start: connecting is how to know."""
    for _ in range(1000):
        try:
            return Client(port)
        except ConnectionRefusedError:
            continue_after_a_moment()
    raise TimeoutError


def continue_after_a_moment() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.01)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(TimeoutError):
            sock.accept()


def test_lines_are_out_when_they_are_written() -> None:
    with daemon() as running, running.client() as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        wait_for_line(running, "SMTP response: 250 Ok")


def test_a_closed_stdout_ends_logging_but_not_serving() -> None:
    with daemon() as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        for _ in range(3):
            with running.client() as client:
                client.send(TRANSACTION + b"QUIT\r\n")
                assert client.rest().endswith(b"221 Closing connection\r\n")
        running.signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == b""
        running.process.stdout = None


@posix
def test_streams_closed_from_the_start_do_not_matter() -> None:
    port = free_port()
    shell = f'exec "$@" -port={port} -log <&- >&- 2>&-'
    with subprocess.Popen(["sh", "-c", shell, "sh", *PROGRAM], cwd=ROOT) as process:
        with connected(port) as client:
            assert client.ask(b"NOOP\r\n") == "250 Ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@posix
def test_running_out_of_descriptors_is_survived() -> None:
    with daemon(preexec_fn=lambda: unix.resource.setrlimit(unix.resource.RLIMIT_NOFILE, (32, 32))) as running:
        clients = [Client(running.port, greeted=False) for _ in range(64)]
        wait_for_error(running, "accept tcp: too many open files")
        for client in clients[:40]:
            client.close()
        for client in clients[40:]:
            client.read()
            assert client.ask(b"NOOP\r\n") == "250 Ok"
            client.close()
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 0


@posix
def test_a_signal_while_out_of_descriptors_stops_it_too() -> None:
    few = {"preexec_fn": lambda: unix.resource.setrlimit(unix.resource.RLIMIT_NOFILE, (32, 32))}
    with daemon("-shutdownTimeout=10", **few) as running:
        clients = [Client(running.port, greeted=False) for _ in range(40)]
        wait_for_error(running, "accept tcp: too many open files")
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        for client in clients:
            client.close()
        code, out, _ = running.finish()
        assert (code, out[-1]) == (0, STOPPED)


@posix
def test_text_that_is_not_ascii_goes_out_as_it_came_in() -> None:
    with daemon("-msgGreeting=220 Grüße", env={**os.environ, "LC_ALL": "C"}) as running:
        with Client(running.port, greeted=False) as client:
            assert client.read() == "220 Grüße"
        wait_for_line(running, "SMTP response: 220 Grüße")
    raw = b"-msgGreeting=220 \xff\xfe"
    with daemon(os.fsdecode(raw)) as running, Client(running.port, greeted=False) as client:
        assert client.read_line() == b"220 \xff\xfe\r\n"


def test_module_and_console_script_are_the_same_program() -> None:
    script = shutil.which("smtpmock", path=Path(sys.executable).parent)
    if script is None:
        pytest.skip("this Python has no commands of its packages beside it, as packaging/windows.py makes it")
    done = subprocess.run([script, "-v"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == run("-v").stdout


def wait_for_line(running: Daemon, text: str) -> None:
    """Read the log up to a line."""
    assert running.process.stdout is not None
    while text not in "".join(log_texts(running.process.stdout.readline())):
        assert running.process.poll() is None


def wait_for_error(running: Daemon, text: str) -> None:
    assert running.process.stderr is not None
    while text not in "".join(log_texts(running.process.stderr.readline())):
        assert running.process.poll() is None


@posix
def test_signals_that_come_together_are_one_stop() -> None:
    with daemon() as running:
        for number in (unix.signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, unix.signal.SIGCONT):
            running.signal(number)
        assert running.finish() == (0, [SHUTDOWN, STOPPED], [])
