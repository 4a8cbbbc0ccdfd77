"""How many may come at once, each bound at its edge: connections, descriptors, rules, those who wait over HTTP."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

import pytest

from smtpmock_cli import Configuration, ConfigurationError, Rule, Server
from smtpmock_cli.control import site
from smtpmock_cli.rule import RULES_LIMIT
from tests import unix
from tests.certificates import Certificate
from tests.control.web import ask, raw, read_answer, send_mail
from tests.helpers import PATIENCE, TRANSACTION, Client, daemon
from tests.test_cli import posix, wait_for_line

TOO_MANY = "421 Too many connections"


def test_one_connection_too_many_gets_421_and_the_end() -> None:
    with daemon("-maxConnections=3") as running, ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(3)]
        for _ in range(2):
            with Client(running.port, greeted=False) as refused:
                assert refused.read() == TOO_MANY
                assert refused.rest() == b""
            wait_for_line(running, "SMTP session refused: 3 are under way")
        for client in clients:
            assert client.ask(b"NOOP\r\n") == "250 Ok"
        assert clients[0].ask(b"QUIT\r\n").startswith("221")
        # The one that has its 221 counts no more, though it has not closed yet.
        with running.client() as client:
            assert client.ask(b"NOOP\r\n") == "250 Ok"
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 0


def test_who_is_refused_leaves_no_message_and_no_session() -> None:
    with Server(Configuration(max_connections=1, http_port=0)) as server:
        with Client(server.port_number), Client(server.port_number, greeted=False) as refused:
            refused.send(TRANSACTION)
            assert refused.read() in (TOO_MANY, "")  # what is sent unasked may have its connection reset
            assert len(ask(server, "/smtpmock/sessions").json["sessions"]) == 1
        assert [message.helo for message in server.wait_for_messages(1, PATIENCE)] == [False]
        send_mail(server)
        assert len(server.wait_for_messages(2, PATIENCE)) == 2


def test_who_is_refused_before_a_tls_handshake_is_just_closed(certificate: Certificate) -> None:
    settings = Configuration(tls_cert=certificate.cert, tls_key=certificate.key, tls_mode="implicit", max_connections=1)
    with Server(settings) as server, ExitStack() as stack:
        _, refused = (stack.enter_context(Client(server.port_number, greeted=False)) for _ in range(2))
        assert refused.rest() == b""


def test_the_bound_changes_while_the_server_runs() -> None:
    with Server(Configuration(max_connections=1)) as server, Client(server.port_number):
        server.reconfigure(max_connections=2)
        with Client(server.port_number) as second:
            assert second.ask(b"NOOP\r\n") == "250 Ok"
            with Client(server.port_number, greeted=False) as refused:
                assert refused.read() == TOO_MANY


def test_who_is_refused_and_stays_does_not_hold_up_a_stop() -> None:
    with (
        daemon("-maxConnections=1") as running,
        running.client() as client,
        Client(running.port, greeted=False) as refused,
    ):
        assert refused.read() == TOO_MANY
        assert client.ask(b"QUIT\r\n").startswith("221")
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 0


@posix
def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    few = {"preexec_fn": lambda: unix.resource.setrlimit(unix.resource.RLIMIT_NOFILE, (16, 128))}
    with daemon(**few) as running, ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(running.client())
            assert client.ask(b"NOOP\r\n") == "250 Ok"
        stack.close()
        running.signal(signal.SIGTERM)
        # The start does not wait for it, so that the first of so many may have to.
        assert set(running.finish()[2]) <= {"ERROR: EOF", "ERROR: accept tcp: too many open files"}


def test_rules() -> None:
    rule = Rule(on="noop", then="close")
    assert len(Configuration(rules=[rule] * RULES_LIMIT).rules) == RULES_LIMIT
    with pytest.raises(ConfigurationError, match="there may be 10000 rules, not 10001"):
        Configuration(rules=[rule] * (RULES_LIMIT + 1))


def test_rules_over_http() -> None:
    with Server(Configuration(http_port=0, rules=[Rule(on="noop", then="close")] * RULES_LIMIT)) as server:
        answer = ask(server, "/smtpmock/rules", "POST", {"on": "noop", "then": "close"})
        assert (answer.status, answer.json) == (400, {"error": "there may be 10000 rules, not 10001"})
        assert len(ask(server, "/smtpmock/rules").json["rules"]) == RULES_LIMIT


def test_one_too_many_over_http_gets_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "CONNECTIONS_LIMIT", 3)
    with Server(Configuration(http_port=0)) as server, ExitStack() as stack:
        waiting = [stack.enter_context(raw(server)) for _ in range(3)]
        for client in waiting:
            client.send(b"GET /smtpmock/messages?count=1&timeout=20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with raw(server) as refused:
            status, headers, body = read_answer(refused)
            assert (status, body) == (503, b'{"error": "more than 3 connections are open"}')
            assert headers["connection"] == "close"
            assert refused.rest() == b""
        send_mail(server)
        for client in waiting:
            assert read_answer(client)[0] == 200
        waiting[0].close()
        assert read_until_served(server) == 200


def read_until_served(server: Server) -> int:
    """The status of the first request that is served; a connection that closes may be seen to later than the next."""
    deadline = time.monotonic() + PATIENCE
    while (status := ask(server, "/livez").status) == 503 and time.monotonic() < deadline:
        pass
    return status
