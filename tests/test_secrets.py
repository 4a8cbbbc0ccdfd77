"""A password stands nowhere outside of the process: not in its log, its API, its files or its errors."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from smtpmock_cli import Configuration, Rule, Server
from tests.control.web import ask
from tests.helpers import HELO, PATIENCE, TRANSACTION, Client, daemon
from tests.test_cli import run

PASSWORD = "correct-horse"
USER = base64.b64encode(b"joe")
ENCODED = base64.b64encode(PASSWORD.encode())
PLAIN = base64.b64encode(b"\0joe\0" + PASSWORD.encode())
SECRETS = (PASSWORD, ENCODED.decode(), PLAIN.decode())


def shows_none(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def log_in_twice(client: Client) -> None:
    assert client.ask(b"AUTH LOGIN\r\n").startswith("334 ")
    assert client.ask(USER + b"\r\n").startswith("334 ")
    assert client.ask(base64.b64encode(b"wrong") + b"\r\n").startswith("535 ")
    assert client.ask(b"AUTH PLAIN " + PLAIN + b"\r\n").startswith("235 ")


def test_log_and_files(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    with daemon(f"-authUsers=joe:{PASSWORD}", f"-messagesFile={path}", "-authRequired") as running:
        with running.client() as client:
            client.ask(HELO)
            log_in_twice(client)
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()
        running.signal(signal.SIGTERM)
        code, out, err = running.finish()
    assert (code, err) == (0, [])
    requests = [line.partition("request: ")[2] for line in out if "request: " in line]
    assert requests[1:5] == ["AUTH LOGIN", "***", "***", "AUTH PLAIN ***"]
    assert '"auth": true, "auth_mechanism": "PLAIN", "auth_username": "joe"' in path.read_text()
    assert shows_none("\n".join([*out, *err, path.read_text()]))


def test_the_api() -> None:
    with Server(Configuration(http_port=0, auth_users=[f"joe:{PASSWORD}"])) as server:
        with Client(server.port_number) as client:
            client.ask(HELO)
            log_in_twice(client)
            client.ask(b"RSET\r\n")
            during = ask(server, "/smtpmock/sessions")
            assert during.json["sessions"][0]["message"]["auth_username"] == "joe"
        server.wait_for_messages(1, PATIENCE)
        paths = ("messages", "configuration", "sessions", "rules", "openapi.json")
        answers = [during, *(ask(server, f"/smtpmock/{path}") for path in paths)]
        assert "auth_users" not in answers[2].json
        assert all(shows_none(answer.body.decode()) for answer in answers)


def test_sessions_show_a_response_as_what_it_is() -> None:
    with (
        Server(Configuration(http_port=0, auth_users=[f"joe:{PASSWORD}"])) as server,
        Client(server.port_number) as client,
    ):
        client.ask(HELO)
        client.ask(b"AUTH LOGIN " + USER + b"\r\n")
        (session,) = ask(server, "/smtpmock/sessions").json["sessions"]
        assert (session["state"], session["last_request"]) == ("response to AUTH's challenge", "AUTH LOGIN ***")


def test_users_change_while_it_runs_and_errors_show_none() -> None:
    with Server(Configuration(http_port=0)) as server, Client(server.port_number) as client:
        client.ask(HELO)
        assert client.ask(b"AUTH PLAIN " + PLAIN + b"\r\n")[:3] == "502"
        wrong = ask(server, "/smtpmock/configuration", "PATCH", {"auth_users": [PASSWORD]})
        assert wrong.status == 400
        assert "auth_users takes users, each with a colon and a password" in wrong.json["error"]
        changed = ask(server, "/smtpmock/configuration", "PATCH", {"auth_users": [f"joe:{PASSWORD}"]})
        assert changed.status == 200
        assert client.ask(b"AUTH PLAIN " + PLAIN + b"\r\n")[:3] == "235"
        assert shows_none(wrong.body.decode() + changed.body.decode())


def test_a_rule_that_answers_auth_alone(capfd: pytest.CaptureFixture[str]) -> None:
    rules = [Rule(on="auth", reply="235 fine")]
    settings = Configuration(rules=rules, log_to_stdout=True, log_server_activity=True)
    with Server(settings) as server, Client(server.port_number) as client:
        assert client.ask(b"AUTH PLAIN " + PLAIN + b"\r\n") == "235 fine"
    out = capfd.readouterr().out
    assert "SMTP request: AUTH PLAIN ***" in out
    assert shows_none(out)


@pytest.mark.parametrize("value", [PASSWORD, f":{PASSWORD}", f"joe:x,{PASSWORD}"])
def test_the_command_line(value: str) -> None:
    done = run(f"-authUsers={value}")
    first = "invalid value for flag -authUsers: takes users, each with a colon and a password"
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (2, "", first)
    assert shows_none(done.stderr)


@pytest.mark.parametrize("value", [PASSWORD, f":{PASSWORD}", f"joe:x,{PASSWORD}"])
def test_the_environment(value: str) -> None:
    done = run(env=os.environ | {"SMTPMOCK_AUTH_USERS": value})
    line = "invalid value for variable SMTPMOCK_AUTH_USERS: takes users, each with a colon and a password\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_server_that_has_its_users_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    users = {"SMTPMOCK_AUTH_USERS": f"joe:{PASSWORD}", "SMTPMOCK_MESSAGES_FILE": str(path)}
    with daemon("-httpPort=0", env=os.environ | users) as running:
        assert running.process.stdout is not None
        http_port = int(running.process.stdout.readline().rpartition(b" ")[2])
        with running.client() as client:
            client.ask(HELO)
            log_in_twice(client)
        answers = [fetch(http_port, f"/smtpmock/{name}") for name in ("configuration", "sessions", "messages")]
        running.signal(signal.SIGTERM)
        code, out, err = running.finish()
    assert (code, err) == (0, ["ERROR: EOF"])
    assert '"auth_username": "joe"' in path.read_text()
    assert shows_none("\n".join([*out, *err, path.read_text(), *answers]))


def fetch(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())
