"""The plugin as its users have it: test runs of their own, by pytester."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smtpmock_cli.pytest_plugin import LINES_SHOWN, MESSAGES_SHOWN
from tests.helpers import PATIENCE

pytest_plugins = ["pytester"]

SEND = """
import smtplib
import pytest

def send(server, body="Subject: hi\\r\\n\\r\\nHello."):
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com") as client:
        client.sendmail("a@example.com", ["b@example.com"], body)
"""


@pytest.fixture(autouse=True)
def _output_in_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    """A run in a process of its own, where the plugin comes from the installation, as in a user's project."""
    pytester.makepyfile(SEND + tests)
    quick = ("-p", "no:cacheprovider", "-p", "no:schemathesis")
    return pytester.runpytest_subprocess("--strict-markers", "-W", "error", *quick, *options)


def test_a_server_for_each_test_stopped_after_it(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
servers = []

@pytest.mark.parametrize("number", [1, 2])
def test_it(smtpmock, number):
    send(smtpmock)
    assert len(smtpmock.messages()) == 1
    servers.append(smtpmock)

def test_they_are_gone():
    assert servers[0] is not servers[1]
    for server in servers:
        with pytest.raises(ConnectionRefusedError):
            send(server)
""",
    )
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*Messages of smtpmock*")


def test_marks_configure_it_the_nearest_last(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
pytestmark = pytest.mark.smtpmock(msg_greeting="220 module", msg_quit_cmd="221 module", session_timeout=5)

@pytest.mark.smtpmock(msg_quit_cmd="221 class", multiple_rcptto=True)
class TestClass:
    @pytest.mark.smtpmock(multiple_rcptto=False)
    def test_it(self, smtpmock):
        used = smtpmock.configuration
        assert (used.msg_greeting, used.msg_quit_cmd) == ("220 module", "221 class")
        assert (used.session_timeout, used.multiple_rcptto) == (5, False)

def test_outside(smtpmock):
    assert smtpmock.configuration.msg_quit_cmd == "221 module"
""",
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mark", "error"),
    [
        ("multiple_rcpt=True", "@pytest.mark.smtpmock: no such setting: multiple_rcpt"),
        ("session_timeout='5'", "@pytest.mark.smtpmock: session_timeout takes a whole number, not '5'"),
        ("5", "@pytest.mark.smtpmock takes settings by name, not 5"),
    ],
)
def test_a_wrong_mark_is_told_in_one_line(pytester: pytest.Pytester, mark: str, error: str) -> None:
    result = run(pytester, f"@pytest.mark.smtpmock({mark})\ndef test_it(smtpmock): pass")
    result.assert_outcomes(errors=1)
    assert error in result.outlines
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_failure_shows_what_arrived(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        r"""
def test_it(smtpmock):
    send(smtpmock, b"Subject: hi\r\n\r\n\x1b[2J \xff caf\xc3\xa9 \xe2\x80\xae\r\n" + b"line\r\n" * 30)
    raise OSError("told")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- Messages of smtpmock -*",
            "1 arrived",
            "<Message 1: from <a@example.com> to *",
            "  mail ????:<a@example.com>* → 250 Received",
            "  (the body) → 250 Received",
            "  | Subject: hi",
            r"  | \x1b[[]2J \xff café \u202e",
            f"  … {33 - LINES_SHOWN} lines more",
        ]
    )


def test_a_failure_is_shown_in_lines_where_not_every_character_can_be(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where what a run in CI writes is in cp1252."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run(
        pytester,
        """
def test_it(smtpmock):
    send(smtpmock, "Subject: Gr\\u00fc\\u00dfe \\u4f60\\r\\n\\r\\nHello.".encode())
    assert False
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["1 arrived", "  ehlo example.com -> 250 Received", r"  | Subject: Gr\xfc\xdfe \u4f60"])


def test_a_failure_shows_rset(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.smtpmock(multiple_message_receiving=True)
def test_it(smtpmock):
    with smtplib.SMTP("127.0.0.1", smtpmock.port_number, "example.com") as client:
        client.sendmail("a@example.com", ["b@example.com"], "hi")
        client.rset()
    assert False
""",
    )
    result.stdout.fnmatch_lines(["  (the body) → 250 Received", "  rset → 250 Ok"])


def test_a_failure_shows_the_last_of_many(pytester: pytest.Pytester) -> None:
    count = MESSAGES_SHOWN + 2
    result = run(
        pytester,
        f"""
def test_many(smtpmock):
    for _ in range({count}):
        send(smtpmock)
    assert False

def test_none(smtpmock):
    assert False
""",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"{count} arrived, the last {MESSAGES_SHOWN} of them:", "<Message 3: *"])
    result.stdout.no_fnmatch_line("<Message 2: *")
    result.stdout.fnmatch_lines(["none arrived"])


def test_a_test_may_stop_it(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(smtpmock):
    send(smtpmock)
    smtpmock.stop()
    assert len(smtpmock.messages()) == 1
""",
    )
    result.assert_outcomes(passed=1)


def test_it_is_listed(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["smtpmock -- *", "*A fake SMTP server that listens on a free port*"])
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.smtpmock(*"])


def test_who_does_not_use_it_pays_nothing() -> None:
    code = "import pytest, sys, smtpmock_cli.pytest_plugin; print(*(n for n in sys.modules if 'smtpmock' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == ["smtpmock_cli", "smtpmock_cli.pytest_plugin"]


def test_the_environment_of_the_command_is_not_the_fixtures(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPMOCK_PORT", "x")
    monkeypatch.setenv("SMTPMOCK_MSG_GREETING", "554 by variable")
    result = run(
        pytester,
        """
def test_it(smtpmock):
    send(smtpmock)
    assert smtpmock.configuration.msg_greeting == "220 Welcome"
""",
    )
    result.assert_outcomes(passed=1)
