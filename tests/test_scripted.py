"""Rules on a running server: what a peer meets, what is logged, and how they change meanwhile."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from smtpmock_cli import Configuration, ConfigurationError, Rule, Server, ServerStateError
from tests.control.web import ask
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, PATIENCE, TRANSACTION, Client, daemon, free_port

BUSY = "451 4.7.1 Try again"


def rules_file(folder: Path, text: str) -> str:
    path = folder / "rules.toml"
    path.write_text(text)
    return f"-rules={path}"


def test_close_comes_after_the_reply() -> None:
    with Server(Configuration(rules=[Rule(on="rcpt", reply=BUSY, then="close")])) as server:
        with Client(server.port_number) as client:
            client.send(ENVELOPE + b"NOOP\r\n" * 1000)
            assert client.rest().decode().splitlines() == ["250 Received", "250 Received", BUSY]
        assert server.wait_for_messages(1, PATIENCE)[0].rules == ["rule 1"]


def test_close_without_a_reply() -> None:
    with (
        Server(Configuration(rules=[Rule(on="message", then="close")])) as server,
        Client(server.port_number) as client,
    ):
        client.envelope()
        client.send(BODY + b".\r\n")
        assert client.rest() == b""
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert (message.msg, message.msg_request, message.msg_response) == (False, BODY, "")


def test_reset_is_a_reset() -> None:
    with Server(Configuration(rules=[Rule(on="mail", then="reset")])) as server, Client(server.port_number) as client:
        client.ask(HELO)
        client.send(MAIL)
        assert client.meets_reset()
        assert len(server.wait_for_messages(1, PATIENCE)) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows drops what was not read before a reset")
def test_a_reply_arrives_before_a_reset() -> None:
    rules = [Rule(on="mail", reply=BUSY, then="reset")]
    with Server(Configuration(rules=rules)) as server, Client(server.port_number) as client:
        client.ask(HELO)
        assert client.ask(MAIL) == BUSY
        assert client.meets_reset()


def test_reset_in_the_middle_of_a_body() -> None:
    rules = [Rule(on="data", then="reset", after_bytes=1000)]
    with Server(Configuration(rules=rules)) as server, Client(server.port_number) as client:
        client.envelope()
        client.send(b"x" * 999)
        assert server.messages() == []
        client.send(b"x")
        assert client.meets_reset()
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert (message.data, message.msg) == (True, False)


def test_hang_answers_nothing_until_the_timeout() -> None:
    settings = Configuration(rules=[Rule(on="connect", then="hang")], session_timeout=1)
    with Server(settings) as server, Client(server.port_number, greeted=False) as client:
        begun = time.monotonic()
        client.send(TRANSACTION)
        assert client.rest() == b""
        assert time.monotonic() - begun > 0.9
        assert server.wait_for_messages(1, PATIENCE)[0].rules == ["rule 1"]


def test_one_that_hangs_does_not_hold_up_a_stop() -> None:
    server = Server(Configuration(rules=[Rule(on="noop", then="hang")]))
    server.start()
    with Client(server.port_number) as client:
        client.send(b"NOOP\r\n")
        server.stop()
        assert client.rest() == b""
    assert len(server.messages()) == 1


def test_a_reply_trickles() -> None:
    with Server(Configuration(rules=[Rule(on="noop", drip=20)])) as server, Client(server.port_number) as client:
        begun = time.monotonic()
        client.send(b"NOOP\r\nRSET\r\n")
        assert client.sock.recv(100) == b"2"
        assert client.read() == "50 Ok"
        assert time.monotonic() - begun > 7 / 20
        assert client.read().startswith("503")


def test_a_delay_of_a_part_of_a_second() -> None:
    with Server(Configuration(rules=[Rule(on="noop", delay=0.25)])) as server, Client(server.port_number) as client:
        begun = time.monotonic()
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        assert 0.24 < time.monotonic() - begun < PATIENCE


def test_over_connections_counts_those_that_are_open() -> None:
    rules = [Rule(on="connect", over_connections=2, reply="421 Too many", then="close")]
    with Server(Configuration(rules=rules)) as server, Client(server.port_number):
        with Client(server.port_number) as second:
            with Client(server.port_number, greeted=False) as third:
                assert third.rest() == b"421 Too many\r\n"
            second.ask(b"QUIT\r\n")
        with Client(server.port_number, greeted=False) as fourth:
            assert fourth.read() == "220 Welcome"


def test_counters_are_of_the_server_and_of_a_session() -> None:
    rules = [Rule(on="noop", times=1, reply=BUSY), Rule(on="rset", times=1, per="session", reply=BUSY)]
    with Server(Configuration(rules=rules)) as server:
        told = []
        for _ in range(2):
            with Client(server.port_number) as client:
                told += [client.ask(b"NOOP\r\n"), client.ask(b"RSET\r\n")]
    assert told == [BUSY, BUSY, "250 Ok", BUSY]


def test_a_rule_that_is_there_twice_counts_twice_and_is_called_by_its_place() -> None:
    once, other = Rule(on="noop", times=1, reply=BUSY), Rule(on="rset", reply=BUSY)
    with Server(Configuration(rules=[once] * 3)) as server, Client(server.port_number) as client:
        assert client.ask(b"NOOP\r\n") == BUSY
        server.reconfigure(rules=[other, *[once] * 3])
        assert [client.ask(b"NOOP\r\n") for _ in range(3)] == [BUSY, BUSY, "250 Ok"]
        assert client.ask(b"RSET\r\n") == BUSY
    assert server.messages()[0].rules == ["rule 1", "rule 3", "rule 4"]


def test_rules_change_while_it_runs() -> None:
    first = Rule(on="noop", times=1, reply="451 first")
    server = Server(Configuration(rules=[first]))
    with pytest.raises(ServerStateError):
        server.reconfigure(rules=[])
    with server, Client(server.port_number) as client:
        assert client.ask(b"NOOP\r\n") == "451 first"
        server.reconfigure(rules=[first, Rule(on="noop", times=1, reply="451 second")])
        assert client.ask(b"NOOP\r\n") == "451 second", "a rule that stays goes on counting"
        server.reconfigure(rules=[Rule(on="noop", times=1, reply="451 first")], msg_noop_received="250 own")
        assert [client.ask(b"NOOP\r\n") for _ in range(2)] == ["451 first", "250 own"]
        with pytest.raises(ConfigurationError, match="rule 1: then takes"):
            server.reconfigure(rules=[{"on": "noop", "then": "x"}])
        with pytest.raises(ConfigurationError, match="port_number cannot change"):
            server.reconfigure(port_number=1)
        server.reconfigure(rules=[])
        assert client.ask(b"NOOP\r\n") == "250 own"
    assert server.messages()[0].rules == ["rule 1", "rule 2"]


def test_esmtp_comes_and_goes_while_it_runs() -> None:
    with Server() as server, Client(server.port_number) as client:
        assert client.ask(b"EHLO example.com\r\n") == "250 Received"
        server.reconfigure(extensions=["SIZE"])
        assert client.ask(b"EHLO example.com\r\n") == "250-Received"
        assert client.read() == "250 SIZE 10485760"
        assert client.ask(b"MAIL FROM:<>\r\n") == "250 Received"
        server.reconfigure(extensions=None)
        assert client.ask(b"MAIL FROM:<>\r\n").startswith("501 ")


def test_another_seed_is_another_run() -> None:
    server = Server(Configuration(rules=[Rule(on="noop", probability=0.5, reply=BUSY)], seed=1))

    def run() -> list[str]:
        server.reconfigure(seed=2)
        server.reconfigure(seed=1)
        return [client.ask(b"NOOP\r\n") for _ in range(20)]

    with server, Client(server.port_number) as client:
        first = run()
        assert {*first} == {BUSY, "250 Ok"}
        assert run() == first


def test_a_change_is_in_force_for_what_is_sent_after_it() -> None:
    with Server() as server, Client(server.port_number) as client:
        for number in range(200):
            server.reconfigure(msg_noop_received=f"250 {number}")
            assert client.ask(b"NOOP\r\n") == f"250 {number}"


RULES = """
[[rule]]
name = "mailbox full"
on = "rcpt"
delay = 0.01
reply = ["452-4.2.2 Mailbox full", "452 4.2.2 Come back"]
then = "close"
"""


def test_the_log_names_the_rule(tmp_path: Path) -> None:
    with daemon(rules_file(tmp_path, RULES)) as running:
        with running.client() as client:
            client.send(ENVELOPE)
            client.rest()
        running.signal(signal.SIGTERM)
        code, out, err = running.finish()
    assert (code, err) == (0, [])
    texts = [line.removeprefix("INFO: ") for line in out]
    at = texts.index("SMTP rule: mailbox full")
    assert texts[at - 1 : at + 4] == [
        "SMTP request: RCPT TO:<b@example.com>",
        "SMTP rule: mailbox full",
        "SMTP response delay: 0.01 sec",
        "SMTP response: 452-4.2.2 Mailbox full",
        "SMTP response: 452 4.2.2 Come back",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/stdin")
def test_rules_can_come_through_a_pipe(tmp_path: Path) -> None:
    text = "[[rule]]\non = 'noop'\nreply = '451 piped'\n"
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with path.open("rb") as file, daemon("-rules=/dev/stdin", stdin=file) as running, running.client() as client:
        assert re.match("451 piped", client.ask(b"NOOP\r\n"))


# Thousands of rules.

LOOKED_FOR = [Rule(on="message", contains=f"{number} of them", reply=BUSY) for number in range(3000)]
LARGE = (b"0123456789" * 7 + b"\r\n") * 140_000


def slow_rules(count: int) -> Iterator[Rule]:
    """Each has a glob that is compiled when the first NOOP comes: for a thousand, that takes most of a second."""
    for number in range(count):
        yield Rule(on="noop", match="?" * (number % 90) + "[ab]" * (1 + number // 90), reply=BUSY)


SLOW = tuple(slow_rules(1000))
DECIDING = "decision of its rules"


def send_and_watch(server: Server, client: Client, data: bytes) -> None:
    """Return while the server makes a decision on the last of it."""
    ask(server, "/livez")  # imports what it needs, which may take as long as the decision
    client.send(data)
    deadline = time.monotonic() + PATIENCE
    while [session["state"] for session in ask(server, "/smtpmock/sessions").json["sessions"]] != [DECIDING]:
        assert time.monotonic() < deadline


def test_others_are_answered_while_rules_look_at_a_large_mail() -> None:
    with (
        Server(Configuration(rules=LOOKED_FOR)) as server,
        Client(server.port_number) as sending,
        Client(server.port_number) as other,
    ):
        sending.envelope()
        sending.send(LARGE + b".\r\n")
        answered = 0
        while not select.select([sending.sock], [], [], 0)[0]:
            assert other.ask(b"NOOP\r\n") == "250 Ok"
            answered += 1
        assert sending.read() == "250 Received"
    assert answered > 20, "one of them waited for all of the mail"


def test_a_decision_does_not_count_against_the_timeout_and_can_be_watched() -> None:
    settings = Configuration(http_port=0, rules=SLOW, session_timeout=1)
    with Server(settings) as server, Client(server.port_number) as client:
        send_and_watch(server, client, b"NOOP\r\nRSET\r\nQUIT\r\n")
        assert client.rest().decode().splitlines() == [
            "250 Ok",
            Configuration().msg_invalid_cmd_rset_sequence,
            "221 Closing connection",
        ]


def test_a_stop_waits_for_a_decision_and_the_reply_that_is_owed() -> None:
    server = Server(Configuration(http_port=0, rules=SLOW, shutdown_timeout=60))
    server.start()
    with Client(server.port_number) as client:
        send_and_watch(server, client, b"NOOP\r\nNOOP\r\n")
        server.stop()
        assert client.rest() == b"250 Ok\r\n"
    (message,) = server.messages()
    assert message.noop


def test_a_second_signal_cuts_a_decision(tmp_path: Path) -> None:
    rules = "".join(f"[[rule]]\non = 'noop'\ndelay = 1\nmatch = '{rule.match}'\n" for rule in slow_rules(5000))
    kept, port = tmp_path / "messages.jsonl", free_port()
    flags = (rules_file(tmp_path, rules), f"-messagesFile={kept}", f"-httpPort={port}", "-shutdownTimeout=60")
    with daemon(*flags) as running, running.client() as client:
        urlopen(f"http://127.0.0.1:{port}/livez", timeout=PATIENCE).close()
        client.send(b"NOOP\r\n")
        while DECIDING not in urlopen(f"http://127.0.0.1:{port}/smtpmock/sessions", timeout=PATIENCE).read().decode():
            pass
        running.signal(signal.SIGTERM)
        assert running.process.stdout is not None
        while b"shutdown mode" not in running.process.stdout.readline():
            pass
        running.signal(signal.SIGTERM)
        code, _, err = running.finish()
        assert client.rest() == b""
    assert (code, err) == (0, [])
    (line,) = kept.read_text("ascii").splitlines()
    assert json.loads(line)["noop"] is False


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
def test_a_client_that_leaves_amid_a_decision_leaves_its_message(leave: Callable[[Client], None]) -> None:
    with Server(Configuration(http_port=0, rules=SLOW)) as server:
        client = Client(server.port_number)
        send_and_watch(server, client, HELO + b"NOOP\r\n")
        leave(client)
        (message,) = server.wait_for_messages(1, PATIENCE)
        assert message.helo
        with Client(server.port_number) as other:
            assert other.ask(b"NOOP\r\n") == "250 Ok"
    assert len(server.messages()) == 2


def test_another_setting_leaves_rules_as_they_are() -> None:
    """What took long to find out about them is kept, as are their counters."""
    with Server(Configuration(rules=[*SLOW, Rule(on="noop", times=1, reply="451 once")])) as server:
        rules = server._sessions._rules
        with Client(server.port_number) as client:
            assert client.ask(b"NOOP\r\n") == "451 once"
            server.reconfigure(msg_noop_received="250 other")
            assert client.ask(b"NOOP\r\n") == "250 other"
            assert server._sessions._rules is rules
            server.reconfigure(seed=5)
            assert client.ask(b"NOOP\r\n") == "451 once"
