"""Our endpoints: what they answer, and what they leave behind."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.configuration import changeable
from smtpmock_cli.control import http, json_pieces
from smtpmock_cli.control.api import LONGEST_WAIT, MOST_AWAITED
from tests.control.web import ask, raw, read_answer, read_chunks, send_for_ever, send_mail, send_mails, standing_still
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, PATIENCE, RCPT, Client

MESSAGES = "/smtpmock/messages"
CONFIGURATION = "/smtpmock/configuration"
SESSIONS = "/smtpmock/sessions"


def test_all_messages_in_order_with_all_fields(server: Server) -> None:
    send_mail(server, "first")
    send_mail(server, "second")
    listing = ask(server, MESSAGES).json
    assert (listing["complete"], listing["count"]) == (True, 2)
    first, second = listing["messages"]
    kept = server.messages()[0]
    expected = kept.as_dict() | {
        "msg_request": "Subject: first\r\n\r\nHello.\r\n",
        "msg_request_encoding": "utf-8",
        "mailfrom_parameters": {},
        "rcptto_parameters": [],
        "chunks": 0,
        "tls": "",
        "auth": False,
        "auth_mechanism": "",
        "auth_username": "",
        "rules": [],
    }
    expected |= {"rcptto_request_response": [list(pair) for pair in kept.rcptto_request_response]}
    expected |= {"id": 1, "client_address": "127.0.0.1", "server_address": "127.0.0.1"}
    expected |= {"reverse_path": "a@example.com", "forward_paths": ["b@example.com"]}
    assert abs(time.time() - kept.received_at) < PATIENCE
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(kept.received_at))
    assert first.pop("received_at").startswith(seconds + ".")
    assert first == expected
    assert second["id"] == 2
    assert len(server.messages()) == 2


def test_bytes_that_are_not_utf_8(server: Server) -> None:
    with Client(server.port_number) as client:
        client.ask(b"HELO caf\xe9\r\n")
        client.send(ENVELOPE + b"DATA\r\n\x00\xff\r\n.\r\nQUIT\r\n")
        client.rest()
        client.close()
    message = ask(server, MESSAGES).json["messages"][0]
    assert message["msg_request_encoding"] == "base64"
    assert base64.b64decode(message["msg_request"]) == b"\x00\xff\r\n"
    with Client(server.port_number) as client:
        client.ask(b"HELO caf\xe9 \xc3\xa9\r\n")
    assert ask(server, MESSAGES + "?count=2").json["messages"][1]["helo_request"] == "HELO caf\\xe9 é"


def test_one_message_and_its_mail_form(server: Server) -> None:
    send_mail(server)
    assert ask(server, MESSAGES + "/1").json == ask(server, MESSAGES).json["messages"][0]
    mail = ask(server, MESSAGES + "/1.eml")
    assert mail.headers["Content-Type"] == "message/rfc822"
    assert mail.body == server.messages()[0].as_mail()


@pytest.mark.parametrize("name", ["2", "0", "-1", "x", "1.txt", "²", "1" * 5000, "1" * 5000 + ".eml", ".eml", "%00"])
def test_a_message_that_is_not_there(server: Server, name: str) -> None:
    send_mail(server)
    answer = ask(server, f"{MESSAGES}/{name.replace('²', '%C2%B2')}")
    assert answer.status == 404
    assert answer.json["error"]


def test_delete_gives_what_it_removes(server: Server) -> None:
    send_mail(server, "gone")
    deleted = ask(server, MESSAGES, "DELETE").json
    assert deleted["count"] == 1
    assert "gone" in deleted["messages"][0]["msg_request"]
    assert ask(server, MESSAGES).json == {"complete": True, "count": 0, "messages": []}
    send_mail(server, "next")
    assert ask(server, MESSAGES).json["messages"][0]["id"] == 2


def test_a_wait_is_answered_when_the_last_one_arrives(server: Server) -> None:
    with raw(server) as client:
        client.send(f"GET {MESSAGES}?count=3&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        send_mails(server, 3)
        listing = read_json(client)
    assert (listing["complete"], listing["count"]) == (True, 3)


def read_json(client: Client) -> Any:
    return json.loads(read_answer(client)[2])


def test_a_wait_that_runs_out_gives_what_there_is(server: Server) -> None:
    send_mail(server)
    started = time.monotonic()
    listing = ask(server, MESSAGES + "?count=2&timeout=0.3").json
    assert 0.3 <= time.monotonic() - started < PATIENCE
    assert (listing["complete"], listing["count"], len(listing["messages"])) == (False, 1, 1)
    assert ask(server, MESSAGES + "?count=2&timeout=0").json["complete"] is False


def test_purge_takes_what_it_gives(server: Server) -> None:
    send_mail(server)
    assert ask(server, MESSAGES + "?count=2&timeout=0&purge=true").json["count"] == 1
    assert ask(server, MESSAGES + "?purge=1").json["count"] == 0
    send_mail(server)
    assert ask(server, MESSAGES + "?purge=false").json["count"] == 1
    assert ask(server, MESSAGES + "?purge=true", "HEAD").status == 400
    assert ask(server, MESSAGES + "?count=1&purge=true").json["count"] == 1
    assert server.messages() == []


def test_of_those_who_wait_for_the_same_the_first_to_purge_gets_all(server: Server) -> None:
    asked = [f"{MESSAGES}?count=2&timeout=60{more}" for more in ("", "&purge=true", "", "&purge=true")]
    clients = [raw(server) for _ in asked]
    for client, path in zip(clients, asked, strict=True):
        # Behind an answered request, so that this one is known to have been read.
        client.send(
            f"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        read_answer(client)
        ask(server, "/livez")
    send_mails(server, 2)
    assert [[message["id"] for message in read_json(client)["messages"]] for client in clients[:2]] == [[1, 2]] * 2
    send_mails(server, 2)
    assert [[message["id"] for message in read_json(client)["messages"]] for client in clients[2:]] == [[3, 4]] * 2
    for client in clients:
        client.close()


def test_nothing_is_lost_or_given_twice_whoever_purges(server: Server) -> None:
    """Readers by HTTP and by Python purge while four clients send."""
    senders, each = 4, 15
    given: list[int] = []
    done = threading.Event()

    def read(ask_once: Any) -> list[int]:
        taken: list[int] = []
        while not done.is_set():
            taken += ask_once()
        return taken

    def by_http(query: str, method: str = "GET") -> Any:
        return lambda: [message["id"] for message in ask(server, MESSAGES + query, method).json["messages"]]

    def by_python() -> list[int]:
        return [message.id for message in server.messages_and_purge()]

    readers = [by_http("?count=3&timeout=0.05&purge=true"), by_http("?purge=true"), by_http("", "DELETE"), by_python]
    with ThreadPoolExecutor(len(readers) + senders) as pool:
        reading = [pool.submit(read, ask_once) for ask_once in readers]
        sending = [pool.submit(send_mails, server, each) for _ in range(senders)]
        for sender in sending:
            sender.result(PATIENCE)
        done.set()
        for reader in reading:
            given += reader.result(PATIENCE)
    given += by_python()
    assert sorted(given) == list(range(1, senders * each + 1))


def test_hundreds_who_wait_cost_nothing(server: Server) -> None:
    waiters = 300
    clients = [raw(server) for _ in range(waiters)]
    for client in clients:
        client.send(f"GET {MESSAGES}?count=1&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    ask(server, "/livez")
    before = sum(os.times()[:2])
    assert not threading.Event().wait(0.5)  # what is measured is that nothing happens
    assert sum(os.times()[:2]) - before < 0.1
    send_mail(server)
    for client in clients:
        assert read_json(client)["count"] == 1
        client.close()


MANY = 3000
END = b"\r\n0\r\n\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def laden(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with many messages, of which a listing takes one a turn."""
    monkeypatch.setattr(json_pieces, "_PIECE", 1)
    monkeypatch.setattr(http, "PIECE", 1)
    configuration = Configuration(http_port=0, multiple_message_receiving=True, shutdown_timeout=int(PATIENCE))
    with Server(configuration) as server:
        with Client(server.port_number) as client:
            message = MAIL + RCPT + b"DATA\r\n" + BODY + b".\r\nRSET\r\n"
            client.send(HELO + message * MANY + b"QUIT\r\n")
            assert client.rest().endswith(b"221 Closing connection\r\n")
        yield server


@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
def test_sessions_go_on_while_a_long_listing_is_made(laden: Server, method: bytes) -> None:
    with raw(laden) as client, Client(laden.port_number) as smtp:
        client.send(LIVE)
        assert read_answer(client)[0] == 200
        client.send(method + b" /smtpmock/messages HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert smtp.ask(b"NOOP\r\n") == "250 Ok"
        client.sock.setblocking(False)
        with suppress(BlockingIOError):
            assert not client.sock.recv(10**6, socket.MSG_PEEK).endswith(END)
        client.sock.settimeout(PATIENCE)
        _, _, body = read_answer(client)
        assert [message["id"] for message in json.loads(body)["messages"]] == list(range(1, MANY + 1))
        assert len(laden.messages()) == (MANY if method == b"GET" else 0)


def test_a_long_listing_is_whole_though_the_server_stops(laden: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpmock_cli.server._LAST_PATIENCE", PATIENCE)  # thousands of pieces, on a busy machine
    with raw(laden) as client:
        client.send(b"GET %b?count=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (MESSAGES.encode(), MANY + 1))
        send_mail(laden)
        # In another thread, because no system has to keep all of it for a client that does not read.
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(laden.stop)
            status, _, body = read_answer(client)
            stopped.result()
        assert (status, json.loads(body)["count"]) == (200, MANY + 1)


def ids(server: Server) -> list[int]:
    return [message.id for message in server.messages()]


PURGES = [b"DELETE /smtpmock/messages", b"GET /smtpmock/messages?purge=true", b"GET /smtpmock/messages?count=2&purge=1"]


@pytest.mark.parametrize("asked", PURGES)
@pytest.mark.parametrize("leave", [Client.close, Client.reset])
@pytest.mark.parametrize("rounds", [20])
def test_who_leaves_before_the_answer_takes_nothing(
    server: Server, asked: bytes, leave: Callable[[Client], None], rounds: int
) -> None:
    send_mails(server, 3)
    for _ in range(rounds):
        with raw(server) as client, standing_still(server):
            client.send(asked + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            leave(client)
    answer = ask(server, MESSAGES + "?count=3&timeout=20").json
    assert (answer["complete"], [message["id"] for message in answer["messages"]]) == (True, [1, 2, 3])
    # With select(), which says of no order, the last who left may have its turn after that answer.
    assert [message.id for message in server.wait_for_messages(3, PATIENCE)] == [1, 2, 3]


@pytest.fixture
def heavy() -> Iterator[Server]:
    """A server with more than any system keeps for a client that does not read."""
    with Server(Configuration(http_port=0)) as server:
        for _ in range(3):
            with Client(server.port_number) as client:
                client.send(ENVELOPE + b"DATA\r\n" + b"x" * 8_000_000 + b"\r\n.\r\nQUIT\r\n")
                client.rest()
        yield server


@pytest.mark.parametrize("asked", PURGES)
@pytest.mark.parametrize("leave", [Client.close, Client.reset])
def test_who_leaves_amid_the_answer_takes_nothing_and_what_came_meanwhile_follows(
    heavy: Server, asked: bytes, leave: Callable[[Client], None]
) -> None:
    with raw(heavy) as client:
        client.send(asked + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read().startswith("HTTP/1.1 200")
        assert ids(heavy) == []
        send_mail(heavy)
        assert ids(heavy) == [4]
        leave(client)
    assert [message.id for message in heavy.wait_for_messages(4, PATIENCE)] == [1, 2, 3, 4]


def test_who_takes_an_answer_slowly_has_it_and_nobody_else(heavy: Server) -> None:
    with raw(heavy) as client:
        client.send(PURGES[0] + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read().startswith("HTTP/1.1 200")
        assert ask(heavy, MESSAGES, "DELETE").json["count"] == 0
        while client.read():
            pass
        answer = json.loads(b"".join(read_chunks(client)))
        client.send(LIVE)
        assert read_answer(client)[2] == b"ok"
    assert [message["id"] for message in answer["messages"]] == [1, 2, 3]
    assert ids(heavy) == []


def test_what_was_put_back_is_there_for_who_waits(heavy: Server) -> None:
    with raw(heavy) as client, ThreadPoolExecutor(1) as pool:
        client.send(PURGES[0] + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read().startswith("HTTP/1.1 200")
        waiting = pool.submit(heavy.wait_for_messages_and_purge, 2, PATIENCE)
        client.reset()
        assert [message.id for message in waiting.result(PATIENCE)] == [1, 2, 3]
    assert ids(heavy) == []


def test_a_stop_amid_an_answer_loses_nothing(heavy: Server) -> None:
    with raw(heavy) as client:
        client.send(PURGES[0] + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read().startswith("HTTP/1.1 200")
        heavy.stop()
    assert ids(heavy) == [1, 2, 3]


def test_who_leaves_while_a_long_listing_is_made_disturbs_nobody(laden: Server) -> None:
    with raw(laden) as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % MESSAGES.encode())
    assert ask(laden, MESSAGES).json["count"] == MANY


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("count=x", "count takes a whole number from 0 to 1000000, not x"),
        ("count=-1", "count takes a whole number from 0 to 1000000, not -1"),
        ("count=", "count takes a whole number from 0 to 1000000, not "),
        ("count=1.5", "count takes a whole number from 0 to 1000000, not 1.5"),
        (f"count={MOST_AWAITED + 1}", "count takes a whole number from 0 to 1000000, not 1000001"),
        ("timeout=-1", "timeout takes a number from 0 to 3600, not -1"),
        ("timeout=nan", "timeout takes a number from 0 to 3600, not nan"),
        ("timeout=inf", "timeout takes a number from 0 to 3600, not inf"),
        (f"timeout={LONGEST_WAIT + 1}", "timeout takes a number from 0 to 3600, not 3601.0"),
        ("purge=yes", "purge takes true or false, not yes"),
        ("cuont=1", "no such parameter: cuont; known here: count, timeout, purge"),
        ("count=1&count=2", "count is given 2 times"),
        ("count=%ff", "the query is not UTF-8, or has more than 100 parameters"),
    ],
)
def test_wrong_parameters(server: Server, query: str, error: str) -> None:
    answer = ask(server, f"{MESSAGES}?{query}")
    assert (answer.status, answer.json) == (400, {"error": error})


def test_sessions_tell_how_far_they_are(server: Server) -> None:
    ask(server, CONFIGURATION, "PATCH", {"response_delay_noop": 60})
    with Client(server.port_number) as idle, Client(server.port_number) as late, Client(server.port_number) as sends:
        idle.ask(HELO)
        idle.ask(b"nonsense \xff\r\n")
        late.send(b"NOOP\r\n")
        sends.envelope()
        sends.send(b"x" * 1000 + b"\r\n")
        sessions = wait_for_sessions(server, ["command", "response delay", "message body"])
        assert [session["id"] for session in sessions] == [1, 2, 3]
        assert sessions[0]["last_request"] == "nonsense \\xff"
        assert sessions[0]["last_response"] == Configuration().msg_invalid_cmd
        assert sessions[0]["message"]["helo_request"] == "HELO example.com"
        assert sessions[1]["last_request"] == "NOOP"
        assert sessions[2]["body_size"] == 1001  # the last line feed may begin the end of the body
        assert sessions[2]["message"]["mailfrom"] is True
        assert sessions[2]["client_port"] == sends.sock.getsockname()[1]
        assert 0 <= sessions[0]["silence"] <= sessions[0]["age"] < PATIENCE
    assert ask(server, MESSAGES + "?count=2").json["complete"]


def wait_for_sessions(server: Server, states: list[str]) -> list[Any]:
    """What a client has sent is not yet read when it has sent it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        sessions: list[Any] = ask(server, SESSIONS).json["sessions"]
        is_reading_body = not sessions or sessions[-1]["body_size"] > 0 or states[-1] != "message body"
        if [session["state"] for session in sessions] == states and is_reading_body:
            return sessions
        assert time.monotonic() < deadline, sessions


def test_a_session_whose_client_takes_no_replies(server: Server) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.3)
        sock.connect(("127.0.0.1", server.port_number))
        with pytest.raises(TimeoutError):
            send_for_ever(sock, b"NOOP\r\n" * 10_000)
        wait_for_sessions(server, ["client to take replies"])


def test_configuration_is_read_changed_and_reset(server: Server) -> None:
    usual = ask(server, CONFIGURATION).json
    assert usual.keys() == {known.field for known in changeable() if not known.secret}
    assert "port_number" not in usual
    changed = ask(server, CONFIGURATION, "PATCH", {"msg_greeting": "220 New", "blacklisted_helo_domains": ["a.com"]})
    assert changed.json == usual | {"msg_greeting": "220 New", "blacklisted_helo_domains": ["a.com"]}
    assert ask(server, CONFIGURATION, "PATCH", {"msg_greeting": None}).json["msg_greeting"] == "220 Welcome"
    assert ask(server, CONFIGURATION, "DELETE").json == usual
    assert ask(server, CONFIGURATION).json == usual


def test_reset_is_to_what_it_was_started_with() -> None:
    with Server(Configuration(http_port=0, msg_quit_cmd="221 Mine")) as server:
        ask(server, CONFIGURATION, "PATCH", {"msg_quit_cmd": "221 Other"})
        ask(server, CONFIGURATION, "DELETE")
        with Client(server.port_number) as client:
            assert client.ask(b"QUIT\r\n") == "221 Mine"


def test_a_change_is_in_force_from_the_next_command_on(server: Server) -> None:
    with Client(server.port_number) as client:
        assert client.ask(HELO) == "250 Received"
        changes = {
            "msg_mailfrom_received": "250 New",
            "not_registered_emails": ["b@example.com"],
            "is_cmd_fail_fast": True,
        }
        ask(server, CONFIGURATION, "PATCH", changes)
        assert client.ask(MAIL) == "250 New"
        assert client.ask(RCPT) == "550 User not found"
        assert client.rest() == b""


def test_a_timeout_is_changed_for_sessions_under_way(server: Server) -> None:
    with Client(server.port_number) as client:
        ask(server, CONFIGURATION, "PATCH", {"session_timeout": 1})
        client.ask(b"NOOP\r\n")
        assert client.rest() == b""


def test_a_shutdown_timeout_is_changed() -> None:
    with Server(Configuration(http_port=0, shutdown_timeout=3600)) as server:
        ask(server, CONFIGURATION, "PATCH", {"shutdown_timeout": 1})
        client = Client(server.port_number)
    client.close()


def test_the_log_is_switched_on_and_off(capfd: pytest.CaptureFixture[str]) -> None:
    with Server(Configuration(http_port=0)) as server:
        send_mail(server, "silent")
        ask(server, CONFIGURATION, "PATCH", {"log_to_stdout": True, "log_server_activity": True})
        send_mail(server, "told")
        ask(server, CONFIGURATION, "DELETE")
        send_mail(server, "silent")
    assert capfd.readouterr().out.count("SMTP request: QUIT") == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"msg_greting": "x"}, "no such setting: msg_greting"),
        ({"session_timeout": -1}, "session_timeout takes a number from 0 on, not -1"),
        ({"session_timeout": True}, "session_timeout takes a whole number, not True"),
        ({"session_timeout": 2**63}, f"session_timeout takes a number up to {2**63 - 1}"),
        ({"not_registered_emails": "a@b.com"}, "not_registered_emails takes a list of texts, not 'a@b.com'"),
        ({"msg_greeting": "\ud800"}, "msg_greeting takes a text, not '\\ud800'"),
        ({"port_number": 1}, "port_number cannot change while the server runs"),
        ({"http_port": 1, "host_address": ""}, "host_address, http_port cannot change while the server runs"),
        ([], "the body is not a JSON object of settings"),
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'{"session_timeout": NaN}', "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
    ],
)  # fmt: skip
def test_a_wrong_change_changes_nothing(server: Server, body: Any, error: str) -> None:
    if isinstance(body, dict):
        body = {"msg_quit_cmd": "221 Never"} | body
    answer = ask(server, CONFIGURATION, "PATCH", body)
    assert (answer.status, answer.json) == (400, {"error": error})
    assert ask(server, CONFIGURATION).json["msg_quit_cmd"] == "221 Closing connection"


@pytest.mark.parametrize("field", [known.field for known in changeable() if known.kind is int])
def test_the_largest_numbers_do_no_harm(server: Server, field: str) -> None:
    ask(server, CONFIGURATION, "PATCH", {field: 2**63 - 1})
    with Client(server.port_number) as client:
        client.send(b"NOOP\r\n")
        ask(server, SESSIONS)
        ask(server, CONFIGURATION, "DELETE")
        client.send(b"NOOP\r\n")
    assert ask(server, "/livez").status == 200


def test_ready_until_it_stops() -> None:
    with Server(Configuration(http_port=0, shutdown_timeout=3600)) as server:
        assert ask(server, "/readyz").body == b"ok"
        with Client(server.port_number) as busy, raw(server) as client:
            busy.envelope()
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            while (answer := ask(server, "/readyz")).status == 200:
                assert stopping.is_alive()
            assert (answer.status, answer.json) == (503, {"error": "the server is stopping"})
            assert ask(server, "/livez").status == 200
            client.send(f"GET {MESSAGES}?count=9&timeout=3600 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            ask(server, "/livez")
            busy.send(b".\r\n")
            assert read_json(client) | {"messages": []} == {"complete": False, "count": 1, "messages": []}
            stopping.join(PATIENCE)
        assert not stopping.is_alive()
