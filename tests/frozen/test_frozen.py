"""What PyInstaller makes of the program behaves as the program does, wherever and however it is started."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import smtplib
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration
from smtpmock_cli.configuration import changeable
from tests.helpers import HELO, PATIENCE, PROGRAM, ROOT, Client, Daemon, example, free_port, log_texts, recorded_bytes
from tests.test_cli import (
    COMMAND_LINES,
    FORCED,
    SHUTDOWN,
    STOP_SIGNALS,
    STOPPED,
    connected,
    pattern,
    posix,
    wait_for_line,
)
from tests.test_conformance import FINISHED, SESSIONS, check_log, check_step

from .processes import assert_serves, linux, listening, processes_with, run

SAMPLE = [
    case for number, case in enumerate(SESSIONS) if number % 8 == 0 or not case["name"].startswith(("random", "custom"))
]
UMLAUTS = "220 Grüße".encode()
NO_UTF8 = b"220 \xff\xfe"


@pytest.mark.parametrize("case", COMMAND_LINES, ids=lambda case: " ".join(case["args"]))
def test_command_line(program: Path, case: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        arguments = [argument.replace("BUSY", port) for argument in case["args"]]
        if case["exit"] == "keeps running" and "false" not in arguments:
            assert_serves(program, *arguments)
            return
        done = run(program, *arguments)
    if case["exit"] == "keeps running":
        # Better on purpose: the flags behind the word would be ignored.
        assert (done.returncode, done.stderr.splitlines()[0]) == (2, "unexpected argument: false")
        return
    assert done.returncode == case["exit"]
    assert re.fullmatch(pattern(case["stdout"], port), done.stdout)
    assert re.fullmatch(pattern(case["stderr"], port), done.stderr)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a tree without git does not know its commit")
def test_version_tells_the_commit_and_the_time_of_the_build(program: Path) -> None:
    told = r"smtpmock: \S+\ncommit: [0-9a-f]{40}(-dirty)?\nbuilt at: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
    assert re.fullmatch(told, run(program, "-v").stdout)


def test_usage_is_the_same_text(program: Path) -> None:
    plain = subprocess.run([*PROGRAM, "-h"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert run(program, "-h").stderr == plain.stderr


@pytest.mark.parametrize(
    "arguments",
    [["-sessionTimeout=-1"], ["-port=1", "word", "-log"], ['-port="\t\x01é'], [f"-host={'ü' * 64}", "-port=2525"]],
    ids=["negative", "word", "quoted", "host that is no name"],
)
def test_errors_are_the_same_text(program: Path, arguments: list[str]) -> None:
    plain = subprocess.run([*PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    frozen = run(program, *arguments)
    assert (frozen.returncode, frozen.stdout) == (plain.returncode, plain.stdout)
    assert without_stamp(frozen.stderr) == without_stamp(plain.stderr)


def without_stamp(text: str) -> str:
    return re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", text)


def test_every_option_at_once(program: Path) -> None:
    # Those for the whole server are either the daemon's own, or have tests of their own.
    flags = {known.flag: example(known)[0] for known in changeable()}
    words = ["-host=127.0.0.1", *(f"-{flag}={value}" for flag, value in flags.items())]
    with listening(program, *words) as running, Client(running.port, greeted=False) as client:
        assert client.read() == "299 msgGreeting"
        assert client.ask(b"FOO\r\n") == "299 msgInvalidCmd"
        assert client.rest() == b""  # failFast


def test_rules(program: Path, tmp_path: Path) -> None:
    """Those that need most of the standard library."""
    path = tmp_path / "rules.toml"
    path.write_text(RULES, "utf-8")
    with listening(program, f"-rules={path}", "-seed=1") as running:
        with Client(running.port) as client:
            assert client.ask(b"NOOP\r\n") == "451 by chance"
            client.envelope()
            client.send(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n.\r\n")
            assert [client.read(), client.read()] == ["452-Nobody is greeted", "452 here"]
            client.send(b"RSET\r\n")
            assert client.meets_reset()
        assert running.process.poll() is None


RULES = """
rule = [
    { on = "noop", probability = 1.0, drip = 200, reply = "451 by chance" },
    { on = "message", match = "GR\u00dc\u00dfE", reply = ["452 Nobody is greeted", "452 here"] },
    { on = "rset", then = "reset" },
]
"""


def test_messages_by_http_and_in_a_file(program: Path, tmp_path: Path) -> None:
    """Everything that a plain start leaves out of the program's way is in the program all the same."""
    ports, kept = tmp_path / "ports.json", tmp_path / "messages.jsonl"
    with listening(program, "-httpPort=0", f"-portFile={ports}", f"-messagesFile={kept}") as running:
        assert running.process.stdout is not None
        running.process.stdout.readline()
        while not ports.exists():
            assert running.process.poll() is None
        url = f"http://127.0.0.1:{json.loads(ports.read_text())['http']}"
        with smtplib.SMTP("127.0.0.1", running.port, "example.com", timeout=PATIENCE) as client:
            client.sendmail("a@example.com", ["b@example.com"], ATTACHED)
        listing = json.loads(read_url(f"{url}/smtpmock/messages?count=1&timeout={PATIENCE}"))
        assert listing["messages"] == [json.loads(line) for line in kept.read_text().splitlines()]
        assert b"\r\nReceived: from example.com" in read_url(f"{url}/smtpmock/messages/1.eml")
        assert json.loads(read_url(f"{url}/smtpmock/openapi.json"))["openapi"] == "3.1.0"
        assert json.loads(read_url(f"{url}/smtpmock/sessions"))["sessions"] == []
        mail = json.loads(read_url(f"{url}/api/v1/message/latest"))
        assert (mail["Subject"], mail["Text"].strip()) == ("Grüße", "é")
        part = f"{url}/api/v1/message/{mail['ID']}/part/{mail['Attachments'][0]['PartID']}"
        assert read_url(part) == bytes(range(256))
        assert json.loads(read_url(f"{url}/api/v1/search?query=subject:gr%C3%BC%C3%9Fe"))["count"] == 1
        assert b"\xc3\xa9" in read_url(f"{url}/view/latest.txt")
        assert running.process.poll() is None


ATTACHED = (
    "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    "--x\r\nContent-Type: text/plain; charset=iso-8859-15\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n"
    "--x\r\nContent-Disposition: attachment; filename=all.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(bytes(range(256))).decode()
    + "\r\n--x--\r\n"
)


def read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("case", SAMPLE, ids=[case["name"] for case in SAMPLE])
def test_session(program: Path, case: dict[str, Any]) -> None:
    with listening(program, *case["flags"]) as running:
        for session in case["sessions"]:
            check_replies(session, running.port, Configuration())
            check_log(lines_of_session(running), session)
        running.signal(signal.SIGTERM)
        _, out, err = running.finish()
    assert out == [SHUTDOWN, STOPPED]
    assert err == [line for session in case["sessions"] for line in session["stderr"]]


def check_replies(session: dict[str, Any], port: int, settings: Configuration) -> None:
    with Client(port, greeted=False) as client:
        assert client.read_line() == recorded_bytes(session["greeting"])
        for step in session["steps"]:
            check_step(client, step, settings)
        assert (client.rest() if session["closed_by_server"] else client.end()) == b""


def lines_of_session(running: Daemon) -> list[str]:
    """The log up to the end of a session."""
    assert running.process.stdout is not None
    lines: list[str] = []
    while FINISHED not in lines:
        read = running.process.stdout.readline()
        assert read, lines
        lines += log_texts(read)
    return lines


def test_ipv6_literal(program: Path) -> None:
    with listening(program) as running, running.client() as client:
        assert client.ask(b"HELO [IPv6:2001:db8::1]\r\n") == "250 Received"
        assert client.ask(b"HELO [IPv6:2001:db8::x]\r\n").startswith("501 ")


def test_control_characters_are_escaped_in_the_log(program: Path) -> None:
    with listening(program) as running, running.client() as client:
        client.ask(b"\x1b[31mred\x00\r\n")
        wait_for_line(running, r"SMTP request: \x1b[31mred\x00")


def test_smtplib(program: Path) -> None:
    with listening(program, "-multipleRcptto", "-notRegisteredEmails=ghost@example.com") as running:
        with smtplib.SMTP("127.0.0.1", running.port, "example.com", PATIENCE) as smtp:
            refused = smtp.sendmail("a@example.com", ["b@example.com", "ghost@example.com"], "Subject: hi\n\nHello")
        assert refused == {"ghost@example.com": (550, b"User not found")}
        wait_for_line(running, "SMTP response: 221 Closing connection")


@posix
@pytest.mark.parametrize("raw", [UMLAUTS, NO_UTF8], ids=["umlauts", "no UTF-8"])
@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {}, {"LC_ALL": "no_SUCH.ISO-8859-1"}], ids=["C locale", "empty environment", "bad locale"]
)
def test_text_that_is_not_ascii_goes_out_as_it_came_in(program: Path, env: dict[str, str], raw: bytes) -> None:
    with listening(program, "-msgGreeting=" + os.fsdecode(raw), env=env) as running:
        with Client(running.port, greeted=False) as client:
            assert client.read_line() == raw + b"\r\n"
        wait_for_line(running, "SMTP response: " + raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_stops_it(program: Path, number: int) -> None:
    with listening(program) as running:
        running.signal(number)
        assert running.finish() == (0, [SHUTDOWN, STOPPED], [])


@posix
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ignored_by_the_parent_still_stops_it(program: Path, number: int) -> None:
    with listening(program, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN)) as running:
        running.signal(number)
        assert running.finish() == (0, [SHUTDOWN, STOPPED], [])


def test_a_session_ends_after_the_reply_it_owes(program: Path) -> None:
    with listening(program, "-responseDelayHelo=1", "-shutdownTimeout=10") as running, running.client() as client:
        client.send(HELO + b"NOOP\r\n")
        wait_for_line(running, "SMTP response delay: 1 sec")
        running.signal(signal.SIGTERM)
        assert client.rest() == b"250 Received\r\n"
        client.close()
        code, out, err = running.finish()
        assert (code, out[-1], err) == (0, STOPPED, [])


def test_an_idle_session_is_cut_at_the_shutdown_timeout(program: Path) -> None:
    with listening(program, "-shutdownTimeout=1") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        assert client.rest() == b""
        code, out, err = running.finish()
        assert (code, out[-3:], err) == (0, [SHUTDOWN, FINISHED, FORCED], [])


def test_a_second_signal_cuts_at_once(program: Path) -> None:
    with listening(program, "-shutdownTimeout=3600") as running, running.client() as client:
        running.signal(signal.SIGTERM)
        wait_for_line(running, "shutdown mode")
        running.signal(signal.SIGINT)
        assert client.rest() == b""
        code, out, err = running.finish()
        assert (code, out[-1], err) == (0, FORCED, [])


@linux
@pytest.mark.parametrize(
    "number", [getattr(signal, name, 0) for name in ("SIGTERM", "SIGKILL")]
)  # on Windows, not both
def test_it_is_one_process_and_leaves_nothing_behind(program: Path, tmp_path: Path, number: int) -> None:
    env = {name: str(tmp_path) for name in ("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME")}
    with listening(program, env=os.environ | env, folder=tmp_path) as running, running.client() as client:
        assert client.ask(HELO) == "250 Received"
        assert processes_with(f"TMPDIR={tmp_path}") == [running.process.pid]
        assert list(tmp_path.iterdir()) == []
        running.signal(number)
        assert running.finish()[0] == (0 if number == signal.SIGTERM else -number)
        with socket.create_server(("127.0.0.1", running.port)):
            pass
    assert processes_with(f"TMPDIR={tmp_path}") == []
    assert list(tmp_path.iterdir()) == []


@posix
def test_started_through_a_symbolic_link_on_the_path(on_path: dict[str, str], tmp_path: Path) -> None:
    assert_serves("smtpmock", env=on_path, folder=tmp_path)


@posix
def test_started_through_a_link_to_a_link(program: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(program)
    (tmp_path / "two").symlink_to("one")
    assert_serves(tmp_path / "two", folder=Path("/"))


@posix
def test_started_from_another_folder(program: Path, tmp_path: Path) -> None:
    assert_serves(os.path.relpath(program, tmp_path), folder=tmp_path)


@posix
def test_started_with_an_empty_environment(program: Path) -> None:
    assert_serves(program, env={})


@posix
def test_started_with_a_home_that_is_read_only(program: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_serves(program, env={"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_the_variables_of_a_python_outside_do_not_matter(program: Path, tmp_path: Path) -> None:
    """Those that a developer has: they are for the Python that is installed."""
    for name in ("socket", "click", "encodings", "sitecustomize", "smtpmock_build"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from outside')\n")
    ours = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "click.py")}
    noise = {"PYTHONVERBOSE": "1", "PYTHONWARNINGS": "error", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-16"}
    with listening(program, env=os.environ | ours | noise) as running:
        with running.client() as client:
            client.send(b"QUIT\r\n")
            client.rest()
        running.signal(signal.SIGTERM)
        assert running.finish()[2] == []


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_closed_from_the_start_do_not_matter(program: Path, closed: str) -> None:
    port = free_port()
    shell = f'exec "$@" -port={port} -log {closed}'
    null = subprocess.DEVNULL
    with subprocess.Popen(["sh", "-c", shell, "sh", program], cwd=ROOT, stdout=null, stderr=null) as process:
        try:
            with connected(port) as client:
                assert client.ask(b"NOOP\r\n") == "250 Ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_a_stdout_closed_meanwhile_ends_logging_but_not_serving(program: Path) -> None:
    with listening(program) as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        for _ in range(3):
            with running.client() as client:
                client.send(HELO + b"QUIT\r\n")
                assert client.rest() == b"250 Received\r\n221 Closing connection\r\n"
        running.signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == b""
        running.process.stdout = None
