"""Flags by environment variables: the command reads them, Python never does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.flags import VariableError
from smtpmock_cli.settings import RULES, Setting
from tests.control.web import ask
from tests.helpers import PATIENCE, PROGRAM, ROOT, Client, configuration, daemon, example
from tests.test_cli import CANNOT_START, LOCALES, posix, run

VARIABLES = {setting.variable for setting in Configuration.SETTINGS}
OWN = {"SMTPMOCK_PROGRAM", "SMTPMOCK_URL"}
"""What the project's tests and scripts read themselves."""


@pytest.mark.parametrize(
    ("flag", "variable"),
    [
        ("port", "SMTPMOCK_PORT"),
        ("httpPort", "SMTPMOCK_HTTP_PORT"),
        ("msgQuitCmd", "SMTPMOCK_MSG_QUIT_CMD"),
        ("blacklistedMailfromEmails", "SMTPMOCK_BLACKLISTED_MAILFROM_EMAILS"),
        ("tlsCert", "SMTPMOCK_TLS_CERT"),
        ("esmtp", "SMTPMOCK_ESMTP"),
    ],
)
def test_a_variable_is_the_flag_in_upper_snake(flag: str, variable: str) -> None:
    assert {setting.variable for setting in Configuration.SETTINGS if setting.flag == flag} == {variable}


def test_each_flag_has_a_variable_to_itself() -> None:
    assert len(VARIABLES) == len({setting.flag for setting in Configuration.SETTINGS})


@pytest.mark.parametrize("known", Configuration.SETTINGS, ids=lambda known: known.variable)
def test_every_field_can_be_set_by_its_variable(known: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    if known.kind is RULES:
        pytest.skip("its value is a file: see below")
    text, value = example(known)
    monkeypatch.setenv(known.variable, text)
    needed = ["-tlsCert=cert.pem"] if known.field in ("tls_key", "tls_mode") else []
    assert getattr(configuration(needed), known.field) == value


def test_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.toml").write_text(f"[[rule]]\non = 'rcpt'\ndelay = {number}\n")
    monkeypatch.setenv("SMTPMOCK_RULES", f"{tmp_path}/1.toml")
    assert [rule.delay for rule in configuration([]).rules] == [1]
    assert [rule.delay for rule in configuration([f"-rules={tmp_path}/2.toml"]).rules] == [2]
    assert configuration(["-rules="]).rules == ()


def test_log_sets_both_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_LOG", "1")
    assert configuration([]) == Configuration(log_to_stdout=True, log_server_activity=True)
    assert configuration(["-log=false"]) == Configuration()


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_PORT", "1")
    monkeypatch.setenv("SMTPMOCK_FAIL_FAST", "true")
    monkeypatch.setenv("SMTPMOCK_NOT_REGISTERED_EMAILS", "a@b.co,c@d.co")
    monkeypatch.setenv("SMTPMOCK_MSG_GREETING", "220 hi")
    monkeypatch.setenv("SMTPMOCK_SESSION_TIMEOUT", "5")
    line = ["-port=2", "-failFast=false", "-notRegisteredEmails=e@f.co", "-msgGreeting="]
    expected = Configuration(port_number=2, not_registered_emails=["e@f.co"], session_timeout=5)
    assert configuration(line) == expected


def test_a_wrong_variable_does_not_matter_to_a_line_with_its_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_PORT", "abc")
    assert configuration(["-port=2"]).port_number == 2


def test_integers_booleans_and_lists_are_those_of_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_MSG_SIZE_LIMIT", "0x_1_F")
    monkeypatch.setenv("SMTPMOCK_ESMTP", "T")
    monkeypatch.setenv("SMTPMOCK_FAIL_FAST", "0")
    monkeypatch.setenv("SMTPMOCK_NOT_REGISTERED_EMAILS", "a@b.co, c@d.co,")
    made = configuration([])
    assert (made.msg_size_limit, made.esmtp, made.is_cmd_fail_fast) == (31, True, False)
    assert made.not_registered_emails == ("a@b.co", " c@d.co", "")


@pytest.mark.parametrize("value", ["", "tcp://10.0.0.1:2525", "udp://10.0.0.1:53", "sctp://10.0.0.1:9"])
def test_an_empty_variable_and_a_service_link_are_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, value)
    assert configuration([]) == Configuration()
    assert configuration(["-port=2"]) == Configuration(port_number=2)


SERVICE = {
    "SMTPMOCK_SERVICE_HOST": "10.0.0.1",
    "SMTPMOCK_SERVICE_PORT": "2525",
    "SMTPMOCK_SERVICE_PORT_HTTP": "8025",
    "SMTPMOCK_PORT": "tcp://10.0.0.1:2525",
    **{
        f"{name}_{port}_TCP{what}": value
        for name, port in (("SMTPMOCK_PORT", 2525), ("SMTPMOCK_PORT", 8025), ("SMTPMOCK_HTTP_PORT", 8025))
        for what, value in {"": f"tcp://[::1]:{port}", "_PROTO": "tcp", "_PORT": f"{port}", "_ADDR": "::1"}.items()
    },
    # A second Service, called smtpmock-http.
    "SMTPMOCK_HTTP_SERVICE_HOST": "10.0.0.1",
    "SMTPMOCK_HTTP_SERVICE_PORT": "8025",
    "SMTPMOCK_HTTP_PORT": "tcp://10.0.0.1:8025",
    # What Docker adds for a link.
    "SMTPMOCK_NAME": "/web/smtpmock",
    "SMTPMOCK_ENV_PATH": "/usr/bin",
}  # fmt: skip
"""What Kubernetes and Docker set in each container beside a service called smtpmock."""


def test_services_called_smtpmock_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICE.items():
        monkeypatch.setenv(name, value)
    assert configuration([]) == Configuration()


def test_no_variable_has_the_name_of_what_a_service_sets_to_anything_but_a_link() -> None:
    link = re.compile(
        r"SMTPMOCK_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP).*|NAME)|SMTPMOCK_ENV_.*"
    )
    assert {name for name in SERVICE if link.fullmatch(name)} == SERVICE.keys() - VARIABLES
    assert [name for name in VARIABLES if link.fullmatch(name)] == []


def test_what_is_no_flag_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("V", "H", "HELP", "READY", "VERSION", "HOST_ADDRESS", "HTTPPORT", "", "_PORT", "Port"):
        if not (os.name == "nt" and f"SMTPMOCK_{name}".upper() in VARIABLES):
            monkeypatch.setenv(f"SMTPMOCK_{name}", "true")
    monkeypatch.setenv("PORT", "1")
    assert configuration([]) == Configuration()


WRONG = [
    ("PORT", "abc", 'invalid value "abc" for variable SMTPMOCK_PORT: must be an integer'),
    ("PORT", " 25", 'invalid value " 25" for variable SMTPMOCK_PORT: must be an integer'),
    ("PORT", "25\r", 'invalid value "25\\r" for variable SMTPMOCK_PORT: must be an integer'),
    ("SEED", str(2**63), f'invalid value "{2**63}" for variable SMTPMOCK_SEED: must be an integer of 64 bits'),
    ("SESSION_TIMEOUT", "-1", 'invalid value "-1" for variable SMTPMOCK_SESSION_TIMEOUT: must be 0 or more'),
    ("LOG", "maybe", 'invalid boolean value "maybe" for variable SMTPMOCK_LOG: must be true or false'),
    ("LOG", "yes", 'invalid boolean value "yes" for variable SMTPMOCK_LOG: must be true or false'),
    (
        "TLS_MODE",
        "on",
        'invalid value "on" for variable SMTPMOCK_TLS_MODE: takes one of starttls, required, implicit',
    ),
    ("RULES", "/nowhere", 'invalid value "/nowhere" for variable SMTPMOCK_RULES: no such file or directory'),
    ("TLS_KEY", "key.pem", "SMTPMOCK_TLS_KEY needs -tlsCert"),
    ("TLS_MODE", "implicit", "SMTPMOCK_TLS_MODE needs -tlsCert or -tlsSelfSigned"),
]


@pytest.mark.parametrize(("name", "value", "line"), WRONG)
def test_a_wrong_value_is_one_line_that_names_its_variable(name: str, value: str, line: str) -> None:
    done = run(env=os.environ | {f"SMTPMOCK_{name}": value})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}\n")


def test_what_does_not_go_together_is_called_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_TLS_CERT", "cert.pem")
    done = run("-tlsSelfSigned")
    assert (done.returncode, done.stderr) == (2, "SMTPMOCK_TLS_CERT and -tlsSelfSigned do not go together\n")
    monkeypatch.setenv("SMTPMOCK_TLS_SELF_SIGNED", "true")
    assert run().stderr == "SMTPMOCK_TLS_CERT and SMTPMOCK_TLS_SELF_SIGNED do not go together\n"
    first = run("-tlsSelfSigned", "-tlsCert=cert.pem").stderr.splitlines()[:2]
    assert first == ["-tlsCert and -tlsSelfSigned do not go together", "Usage: smtpmock [flags]"]


@pytest.mark.parametrize(
    ("arguments", "code", "first_line"),
    [
        (["-port=a"], 2, 'invalid value "a" for flag -port: parse error'),
        (["-foo"], 2, "flag provided but not defined: -foo"),
        (["word"], 2, "unexpected argument: word"),
        (["-h"], 0, "Usage: smtpmock [flags]"),
        (["-v=false"], 2, 'invalid boolean value "maybe" for variable SMTPMOCK_LOG: must be true or false'),
        (["-log", "-port=99999"], 1, CANNOT_START),
    ],
)
def test_the_command_line_is_read_first(arguments: list[str], code: int, first_line: str) -> None:
    done = run(*arguments, env=os.environ | {"SMTPMOCK_LOG": "maybe"})
    assert (done.returncode, done.stderr.splitlines()[0][-len(first_line) :]) == (code, first_line)


@pytest.mark.parametrize("arguments", [["-v"], ["-v", "word"], ["-v=false", "-v"]])
def test_the_version_is_told_whatever_the_environment_says(arguments: list[str]) -> None:
    done = run(*arguments, env=os.environ | {"SMTPMOCK_LOG": "maybe"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("smtpmock: ")


def test_of_several_wrong_variables_the_first_in_the_usages_order_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEED", "LOG", "HTTP_PORT"):
        monkeypatch.setenv(f"SMTPMOCK_{name}", "x")
    with pytest.raises(VariableError, match="SMTPMOCK_LOG"):
        configuration([])
    with pytest.raises(VariableError, match="SMTPMOCK_HTTP_PORT"):
        configuration(["-log"])


@posix
@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(locale.values()))
def test_an_error_repeats_a_values_bytes(locale: dict[str, str]) -> None:
    inherited: Any = {os.fsencode(name): os.fsencode(value) for name, value in (os.environ | locale).items()}
    started = {
        b"SMTPMOCK_PORT_FILE": (b"/\xff\xc3\xa9/x", b"port file /\xff\xc3\xa9/x: no such file or directory\n"),
        b"SMTPMOCK_PORT": (b"\xff\xc3\xa9", b'value "\\xff\xc3\xa9" for variable SMTPMOCK_PORT: must be an integer\n'),
    }
    for name, (value, ending) in started.items():
        done = subprocess.run(
            PROGRAM, cwd=ROOT, env=inherited | {name: value}, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode in (1, 2)
        assert done.stderr.endswith(ending)
        assert done.stderr.count(b"\n") == 1


@posix
def test_a_server_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTPMOCK_MSG_GREETING", "220 by variable")
    monkeypatch.setenv("SMTPMOCK_MSG_NOOP_RECEIVED", "250 by variable")
    monkeypatch.setenv("SMTPMOCK_HTTP_PORT", "99999")
    with daemon("-msgNoopReceived=250 by flag", "-httpPort=0") as running:
        with Client(running.port, greeted=False) as client:
            assert client.read() == "220 by variable"
            assert client.ask(b"NOOP\r\n") == "250 by flag"
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 0


def test_python_never_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Configuration()
    for setting in Configuration.SETTINGS:
        monkeypatch.setenv(setting.variable, "x")
    assert Configuration() == plain == Configuration().but()
    with Server(Configuration(http_port=0)) as server:
        assert ask(server, "/smtpmock/configuration").json["msg_greeting"] == plain.msg_greeting
        server.reconfigure(msg_noop_received="250 n")
        with Client(server.port_number) as client:
            assert client.ask(b"NOOP\r\n") == "250 n"


def test_these_tests_run_whatever_settings_the_environment_has() -> None:
    """One that spawns a server by what it inherits, in a run of its own."""
    wrong = os.environ | dict.fromkeys(VARIABLES, "x")
    assert run(env=wrong).returncode == 2
    chosen = "tests/test_cli.py::test_lines_are_out_when_they_are_written"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", chosen],
        cwd=ROOT,
        env=wrong,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )
    assert "1 passed" in done.stdout, done.stdout


def named_in(*patterns: str) -> set[str]:
    """The variables that these files of the project name."""
    paths = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    assert paths
    return {name for path in paths for name in re.findall(r"SMTPMOCK_[A-Z0-9_]+", path.read_text("utf-8"))}


def test_our_own_variables_are_none_of_a_flag() -> None:
    assert set() == OWN & VARIABLES
    assert named_in("script/*", ".ci/*", ".github/**/*.yml") & VARIABLES == set()


def test_documents_name_variables_that_there_are() -> None:
    named = named_in("*.md", "docs/*.md", "packaging/*", "script/*", ".github/**/*.yml")
    assert named - VARIABLES - OWN - SERVICE.keys() == set()


def test_the_usage_says_how_variables_are_called() -> None:
    (line,) = (line for line in run("-h").stderr.splitlines() if "SMTPMOCK_" in line)
    flag, variable = re.findall(r"-\w+|SMTPMOCK_\w+", line)
    assert {setting.variable for setting in Configuration.SETTINGS if f"-{setting.flag}" == flag} == {variable}
