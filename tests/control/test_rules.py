"""Rules over HTTP: read, replaced, added and removed while sessions go on."""

from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule, Server
from tests.control.web import ask
from tests.helpers import HELO, Client

RULES = "/smtpmock/rules"
FIRST: dict[str, Any] = {"on": "noop", "times": 1, "reply": "451 first"}
SECOND: dict[str, Any] = {"on": "noop", "times": 1, "reply": ["451-second", "451 line"]}


def test_rules_are_read_replaced_added_and_removed(server: Server) -> None:
    assert ask(server, RULES).json == {"rules": [], "fired": []}
    with Client(server.port_number) as client:
        assert ask(server, RULES, "PUT", {"rules": [FIRST]}).json == {"rules": [FIRST], "fired": [0]}
        assert client.ask(b"NOOP\r\n") == "451 first"
        assert ask(server, RULES, "POST", SECOND).json == {"rules": [FIRST, SECOND], "fired": [1, 0]}
        assert [client.ask(b"NOOP\r\n"), client.read()] == ["451-second", "451 line"]
        assert ask(server, RULES).json["fired"] == [1, 1]
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        assert ask(server, RULES, "DELETE").json == {"rules": [], "fired": []}
        assert ask(server, RULES, "PUT", {"rules": [FIRST]}).json["fired"] == [0]
        assert client.ask(b"NOOP\r\n") == "451 first"


def test_what_it_was_started_with(server: Server) -> None:
    rule = Rule(on="noop", reply="451 first")
    with Server(Configuration(http_port=0, rules=[rule])) as ruled:
        assert ask(ruled, RULES).json == {"rules": [rule.as_dict()], "fired": [0]}
        ask(ruled, RULES, "DELETE")
        ask(ruled, "/smtpmock/configuration", "DELETE")
        assert ask(ruled, RULES).json == {"rules": [rule.as_dict()], "fired": [0]}


def test_the_session_and_the_message_name_the_rule(server: Server) -> None:
    ask(server, RULES, "PUT", {"rules": [{"on": "helo", "name": "é", "delay": 0}, {"on": "noop", "then": "hang"}]})
    with Client(server.port_number) as client:
        client.ask(HELO)
        (session,) = ask(server, "/smtpmock/sessions").json["sessions"]
        assert session["message"]["rules"] == ["é"]
        client.send(b"NOOP\r\n")
        while session["state"] != "nothing, by a rule":
            (session,) = ask(server, "/smtpmock/sessions").json["sessions"]
    (message,) = ask(server, "/smtpmock/messages?count=1").json["messages"]
    assert message["rules"] == ["é", "rule 2"]


@pytest.mark.parametrize(
    ("method", "body", "error"),
    [
        ("PUT", b"{", "the body is not JSON"),
        ("PUT", [FIRST], 'the body is not a JSON object like {"rules": [...]}'),
        ("PUT", {"rules": [FIRST], "fired": [0]}, "the body is not a JSON object"),
        ("PUT", {"rules": FIRST}, "the body is not a JSON object"),
        ("PUT", {"rules": None}, "the body is not a JSON object"),
        ("PUT", {"rules": [SECOND, {**FIRST, "times": 0}]}, "rule 2: times takes a whole number up to"),
        ("POST", {**FIRST, "reply": "no"}, "rule 2: reply takes an SMTP reply as '452 Mailbox full'"),
        ("POST", {**FIRST, "then": None}, "rule 2: then takes one of continue, close, reset, hang"),
        ("POST", {**FIRST, "mach": "*"}, "rule 2: no such key: mach; known are on, "),
        ("POST", [FIRST], "rule 2: a rule is a table of keys"),
    ],
)
def test_a_wrong_rule_changes_nothing(server: Server, method: str, body: Any, error: str) -> None:
    ask(server, RULES, "PUT", {"rules": [FIRST]})
    answer = ask(server, RULES, method, body)
    assert answer.status == 400
    assert answer.json["error"].startswith(error), answer.json
    assert ask(server, RULES).json == {"rules": [FIRST], "fired": [0]}


def test_the_configuration_is_not_the_place_for_them(server: Server) -> None:
    answer = ask(server, "/smtpmock/configuration", "PATCH", {"rules": []})
    assert (answer.status, answer.json) == (400, {"error": "rules are changed at /smtpmock/rules"})
    assert "rules" not in ask(server, "/smtpmock/configuration").json
    assert ask(server, "/smtpmock/configuration", "PATCH", {"seed": 3}).json["seed"] == 3
