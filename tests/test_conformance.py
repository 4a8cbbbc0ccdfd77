"""The recordings of the reference, every one: what it answered, recorded, closed on and logged."""

from __future__ import annotations

import re
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.sessions import command_table
from smtpmock_cli.smtp.session import Session
from tests.helpers import (
    HELO,
    MAIL,
    PATIENCE,
    Client,
    Played,
    configuration,
    in_bytes,
    log_texts,
    pull,
    record,
    recorded_bytes,
    recording,
)

SESSIONS = recording("sessions.json")
ARGUMENTS = recording("arguments.json")

# Where the reference is silent, we have an answer on purpose; in a body, nobody has.
ON_PURPOSE = {b"NOOP x": "msg_noop_received", b"QUIT x": "msg_invalid_cmd", b"FOO data": "msg_invalid_cmd"}
ON_PURPOSE |= {b"XNOOP": "msg_invalid_cmd"}

BODY_LINE = "INFO: SMTP request: message binary data portion"
STARTED, FINISHED = "INFO: SMTP session started", "INFO: SMTP session finished"


@pytest.mark.parametrize("case", SESSIONS, ids=[case["name"] for case in SESSIONS])
def test_session(case: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    settings = configuration(["-log", *case["flags"]])
    with Server(settings) as server:
        for session in case["sessions"]:
            check_session(session, server, settings)
    output = capfd.readouterr()
    # The first line is the server's, and so are the last two.
    out = log_texts(in_bytes(output.out))[1:-2]
    for session in case["sessions"]:
        end = out.index(FINISHED) + 1
        check_log(out[:end], session)
        out = out[end:]
    assert out == []
    assert log_texts(in_bytes(output.err)) == [line for session in case["sessions"] for line in session["stderr"]]


def check_session(session: dict[str, Any], server: Server, settings: Configuration) -> None:
    with Client(server.port_number, greeted=False) as client:
        assert client.read_line() == recorded_bytes(session["greeting"])
        silent = [check_step(client, step, settings) for step in session["steps"]]
        assert (client.rest() if session["closed_by_server"] else client.end()) == b""
    messages = server.wait_for_messages_and_purge(len(session["messages"]), PATIENCE)
    if not any(silent):
        assert [record(message) for message in messages] == [in_bytes(recorded) for recorded in session["messages"]]


def check_step(client: Client, step: dict[str, Any], settings: Configuration) -> bool:
    """Whether we have an answer where the reference has none."""
    sent = recorded_bytes(step["send"])
    client.send(sent)
    if step["reply"] is not None:
        expected = recorded_bytes(step["reply"])
        assert b"".join(client.read_line() for _ in range(max(1, expected.count(b"\n")))) == expected, step
        return False
    field = ON_PURPOSE.get(sent.strip())
    assert field is None or client.read() == getattr(settings, field)
    return field is not None


def check_log(lines: list[str], session: dict[str, Any]) -> None:
    recorded = [recorded_bytes(line).decode() for line in session["log"]]
    asked = {line.removeprefix("INFO: SMTP request: ").encode() for line in lines}
    if asked & ON_PURPOSE.keys():
        return
    if any(line.startswith("INFO: SMTP response: 552") for line in recorded):
        # On purpose: the reference answers before the rest of the body is there.
        lines, recorded = [[line for line in log if line != BODY_LINE] for log in (lines, recorded)]
    assert sorted_start(lines) == sorted_start(recorded)


def sorted_start(lines: list[str]) -> list[str]:
    """The line that the reference may write late, first."""
    return [STARTED, *(line for line in lines if line != STARTED)] if STARTED in lines else lines


@pytest.mark.parametrize(("command", "before"), [("helo", b""), ("mailfrom", HELO), ("rcptto", HELO + MAIL)], ids=str)
def test_arguments(command: str, before: bytes) -> None:
    table = command_table(configuration(ARGUMENTS["flags"]))
    wrong = []
    for line, code in ARGUMENTS[command]:
        session, played = Session(table), Played()
        session.receive_data(before + recorded_bytes(line) + b"\r\n")
        pull(session, played)
        answered = int(played.replies[-1][:3])
        if answered != code and not re.fullmatch(r"(?i)(HELO|EHLO) \[IPv6:.*\]", str(line)):
            wrong.append((line, code, answered))
    assert wrong == []
