"""HTTP as bytes: what h11 and the connection make of good, slow, hostile and broken clients."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.control import api, http, site
from smtpmock_cli.net.connection import Connection
from tests.control.web import Answer, ask, port, raw, read_answer, read_chunks, send_for_ever, send_mail
from tests.e2e import tools
from tests.helpers import PATIENCE, Client, daemon

HOST = b"Host: localhost\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
PATCH = b"PATCH /smtpmock/configuration HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"msg_greeting": "220 Changed"}'


def test_a_connection_is_kept(server: Server) -> None:
    with raw(server) as client:
        for _ in range(3):
            client.send(GET)
            assert read_answer(client)[::2] == (200, b"ok")


def test_headers_that_every_answer_has(server: Server) -> None:
    for path in ("/livez", "/nowhere"):
        headers = ask(server, path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Date"].endswith(" GMT")


@pytest.mark.parametrize("pieces", [1, len(GET) * 3])
def test_pipelined_requests_are_answered_in_order(server: Server, pieces: int) -> None:
    sent = GET + GET.replace(b"/livez", b"/nowhere") + GET
    with raw(server) as client:
        for start in range(0, len(sent), len(sent) // pieces):
            client.send(sent[start : start + len(sent) // pieces])
        assert [read_answer(client)[0] for _ in range(3)] == [200, 404, 200]


def test_pipelined_requests_wait_for_one_that_waits(server: Server) -> None:
    wait = GET.replace(b"/livez", b"/smtpmock/messages?count=1")
    with raw(server) as client:
        client.send(wait + GET)
        send_mail(server)
        assert json.loads(read_answer(client)[2])["count"] == 1
        assert read_answer(client)[2] == b"ok"


def test_head_is_get_without_the_body(server: Server) -> None:
    got, head = ask(server, "/smtpmock/configuration"), ask(server, "/smtpmock/configuration", "HEAD")
    assert head.status == 200
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(got.body))


def test_an_http_1_0_connection_is_closed(server: Server) -> None:
    with raw(server) as client:
        client.send(b"GET /livez HTTP/1.0\r\n" + HOST + b"\r\n")
        assert client.rest().endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:]),
    ],
    ids=["whole", "chunked"],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bodies(server: Server, sent: bytes, size: int) -> None:
    request = PATCH + sent
    with raw(server) as client:
        for start in range(0, len(request), size):
            client.send(request[start : start + size])
        assert read_answer(client)[0] == 200
    assert ask(server, "/smtpmock/configuration").json["msg_greeting"] == "220 Changed"


def test_a_client_that_wants_to_be_told_to_go_on(server: Server) -> None:
    with raw(server) as client:
        client.send(PATCH + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert read_answer(client)[0] == 100
        client.send(BODY)
        assert read_answer(client)[0] == 200


def test_a_body_at_the_limit_and_over_it(server: Server) -> None:
    most = b'"%s"' % (b"x" * (http.BODY_LIMIT - 2))
    assert ask(server, "/smtpmock/configuration", "PATCH", most).status == 400
    with raw(server) as client:
        client.send(PATCH + b"Content-Length: %d\r\n\r\n%s" % (http.BODY_LIMIT + 1, most))
        client.send(b" ")
        status, headers, body = read_answer(client)
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body) == {"error": "the body is larger than 1048576 bytes"}
        assert client.rest() == b""


def test_a_body_that_is_announced_too_large_is_not_waited_for(server: Server) -> None:
    with raw(server) as client:
        client.send(PATCH + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % 10**12)
        assert read_answer(client)[0] == 413
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * http.HEAD_LIMIT, 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * http.HEAD_LIMIT + b"\r\n\r\n", 431),
        (GET.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * (http.HEAD_LIMIT // 6) + b"\r\n"), 431),
        (b"GET /" + b"x" * http.HEAD_LIMIT, 431),
        (b"GET /" + b"x" * http.HEAD_LIMIT + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (GET.replace(b"\r\n\r\n", b"\r\nX:" + b" " * 4 * http.HEAD_LIMIT + b"y\r\n\r\n"), 431),
        (GET.replace(b"\r\n\r\n", b"\r\nX: y" + b"\r\n z" * http.HEAD_LIMIT + b"\r\n\r\n"), 431),
        (PATCH + CHUNKED + b"0;" + b"x" * 4 * http.HEAD_LIMIT + b"\r\n\r\n", 431),
        (PATCH + CHUNKED + b"0\r\n" + b"X: y\r\n" * http.HEAD_LIMIT + b"\r\n", 431),
        (b"HELO example.com\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"PATCH / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"PATCH / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (PATCH + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
        (PATCH + b"transfer-encoding: Chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n" + GET, 400),
        (b"PATCH / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_broken_requests(server: Server, sent: bytes, status: int) -> None:
    with raw(server) as client:
        client.send(sent)
        answered, headers, body = read_answer(client)
        assert (answered, headers["connection"]) == (status, "close")
        assert json.loads(body)["error"]
        assert "bytearray" not in json.loads(body)["error"]
        assert client.rest() == b""
    assert ask(server, "/livez").status == 200


def test_a_body_of_many_short_chunks_is_read_in_steps(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    call_idle = Connection.call_idle

    def counted(connection: Connection, callback: Callable[[], None]) -> None:
        steps.append(callback)
        call_idle(connection, callback)

    monkeypatch.setattr(Connection, "call_idle", counted)
    monkeypatch.setattr(http, "_QUANTUM", 0)
    with raw(server) as client:
        client.send(
            PATCH + CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in b"{%1000s}" % b"") + b"0\r\n\r\n" + GET
        )
        assert read_answer(client)[0] == 200
        assert read_answer(client)[2] == b"ok"
    assert len(steps) > 1000


def test_a_head_at_the_limit(server: Server) -> None:
    line = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
    with raw(server) as client:
        client.send(line + b"x" * (http.HEAD_LIMIT - len(line) - 4) + b"\r\n\r\n")
        assert read_answer(client)[0] == 200


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 1000])
def test_empty_lines_before_a_request_line_are_skipped(server: Server, at_a_time: int) -> None:
    sent = b"\r\n" + GET + b"\r\n\r\n" + GET + b"\n" + GET + b"\r\n"
    with raw(server) as client:
        for at in range(0, len(sent), at_a_time):
            client.send(sent[at : at + at_a_time])
        assert client.end().count(b"\r\n\r\nok") == 3


def test_a_request_cut_off_by_its_client(server: Server) -> None:
    with raw(server) as client:
        client.send(GET[:20])
        assert client.end().startswith(b"HTTP/1.1 400 ")


def test_the_last_request_of_a_client_that_sends_no_more(server: Server) -> None:
    with raw(server) as client:
        client.send(GET + GET)
        assert client.end().count(b"\r\n\r\nok") == 2


def test_a_half_sent_request_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.2)
    with raw(server) as client:
        client.send(GET[:1])
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_has_no_more_time_than_a_slow_head(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.5)
    with raw(server) as client:
        client.sock.settimeout(0.05)
        client.send(PATCH + b"Content-Length: 1000\r\n\r\n")
        started = time.monotonic()
        while not answered(client):
            client.send(b" ")
        assert 0.4 < time.monotonic() - started < PATIENCE


def answered(client: Client) -> bool:
    try:
        return client.sock.recv(1) != b""
    except TimeoutError:
        return False


def test_an_idle_connection_is_closed_in_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_TIMEOUT", 0.2)
    with raw(server) as client:
        client.send(GET)
        assert read_answer(client)[0] == 200
        assert client.rest() == b""


def test_a_client_that_takes_no_answers_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_TIMEOUT", 0.5)
    big = b"GET /smtpmock/configuration HTTP/1.1\r\n" + HOST + b"\r\n"
    with raw(server) as client:
        client.sock.settimeout(PATIENCE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_for_ever(client.sock, big * 100)
    assert ask(server, "/livez").status == 200


def test_a_client_that_sends_no_more_gets_the_answer_that_it_waits_for(server: Server) -> None:
    with raw(server) as client:
        client.send(GET.replace(b"/livez", b"/smtpmock/messages?count=1&timeout=20&purge=true"))
        client.sock.shutdown(socket.SHUT_WR)
        # The head comes ahead, to find out whether the client is there.
        assert client.read() == "HTTP/1.1 200 "
        while client.read():
            pass
        send_mail(server)
        answer = json.loads(b"".join(read_chunks(client)))
        assert client.rest() == b""
        assert (answer["complete"], answer["count"]) == (True, 1)
    assert server.messages() == []


def test_a_client_that_sends_no_more_gets_every_answer_to_what_it_sent(server: Server) -> None:
    send_mail(server)
    with raw(server) as client:
        client.send(GET + GET.replace(b"/livez", b"/api/v1/messages") + GET.replace(b"GET", b"HEAD") + GET)
        answers = client.end()
    assert answers.count(b"HTTP/1.1 200 ") == 4
    assert answers.endswith(b"\r\n\r\nok")


def test_a_client_that_leaves_while_it_waits_takes_nothing(server: Server) -> None:
    with raw(server) as client:
        client.send(GET.replace(b"/livez", b"/smtpmock/messages?count=1&timeout=20&purge=true"))
    send_mail(server)
    answer = ask(server, "/smtpmock/messages?count=1").json
    assert (answer["complete"], answer["count"]) == (True, 1)
    assert len(server.messages()) == 1


def test_clients_that_leave_while_they_wait_leave_room_for_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "CONNECTIONS_LIMIT", 5)
    for _ in range(20):
        with raw(server) as client:
            client.send(GET.replace(b"/livez", b"/smtpmock/messages?count=1&timeout=3600"))
        # It takes the client's system a moment to say that it has left.
        tries = (ask(server, "/livez").status for _ in range(1000))
        assert 200 in tries


def test_a_client_that_resets_while_it_waits_takes_nothing(server: Server) -> None:
    wait = b"/smtpmock/messages?count=1&purge=true"
    with raw(server) as client:
        client.send(GET + GET.replace(b"/livez", wait))
        read_answer(client)
        client.reset()
    send_mail(server)
    assert ask(server, "/smtpmock/messages").json["count"] == 1


def test_what_is_sent_behind_a_request_that_waits_is_bounded(server: Server) -> None:
    """The server stops reading, so that the client's own system refuses more."""
    with raw(server) as client:
        client.send(GET.replace(b"/livez", b"/smtpmock/messages?count=1"))
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            send_for_ever(client.sock, b"x" * 100_000)
        client.sock.settimeout(PATIENCE)
        send_mail(server)
        assert read_answer(client)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/smtpmock/messages/", 200, None),
        ("GET", "//smtpmock///messages//", 200, None),
        ("DELETE", "//smtpmock/messages/", 200, None),
        ("PATCH", "/livez/", 405, "GET, HEAD"),
        ("GET", "//localhost/livez", 404, None),
        ("GET", "/../../etc/passwd", 404, None),
        ("GET", "/smtpmock/messages/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, None),
        ("GET", "http://localhost/livez", 200, None),
        ("POST", "/livez", 405, "GET, HEAD"),
        ("PUT", "/smtpmock/configuration", 405, "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/smtpmock/messages", 405, "DELETE, GET, HEAD"),
        ("OPTIONS", "*", 404, None),
    ],
)
def test_paths_and_methods(server: Server, method: str, path: str, status: int, allow: str | None) -> None:
    answer = ask(server, path, method)
    assert (answer.status, answer.headers["Allow"]) == (status, allow)
    assert status == 200 or answer.json["error"]


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (b"livez", "the target is neither a path nor an http URL"),
        (b"localhost:80", "the target is neither a path nor an http URL"),
        (b"ftp://localhost/livez", "the target is neither a path nor an http URL"),
        (b"http:/livez", "the target is neither a path nor an http URL"),
        (b"http://[x/livez", "Host is not valid: [x"),
        (b"http://[::1/livez", "Host is not valid: [::1"),
        (b"http://x]/", "Host is not valid: x]"),
        (b"http://localhost@evil.example/livez", "Host is not valid: localhost@evil.example"),
    ],
)
def test_a_target_that_is_not_valid(server: Server, target: bytes, error: str) -> None:
    with raw(server) as client:
        client.send(GET.replace(b"/livez", target) + GET)
        status, _, body = read_answer(client)
        assert (status, json.loads(body)) == (400, {"error": error})
        assert read_answer(client)[0] == 200


@pytest.mark.parametrize("target", [b"//[", b"//[x", b"///", b"/%", b"/%ff/%00", b"/livez#x?y"])
def test_an_odd_path_is_a_path(server: Server, target: bytes) -> None:
    with raw(server) as client:
        client.send(GET.replace(b"/livez", target) + GET)
        assert read_answer(client)[0] == (200 if b"livez" in target else 404)
        assert read_answer(client)[0] == 200


def test_a_mistake_of_ours_is_not_the_end(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("told")

    monkeypatch.setattr(api, "json_response", fail)
    with Server(Configuration(http_port=0, log_to_stdout=True)) as logging:
        assert ask(logging, "/smtpmock/configuration").status == 500
        assert ask(logging, "/livez").status == 200
        send_mail(logging)
    assert (
        "HTTP API: GET /smtpmock/configuration: internal error: ZeroDivisionError('told') at "
        in capsys.readouterr().err
    )


def test_curl() -> None:
    try:
        curl = tools.curl()
    except tools.ToolMissing as missing:
        pytest.skip(str(missing))
    with Server(Configuration(http_port=0)) as server:
        send_mail(server)
        url = f"http://localhost:{port(server)}/smtpmock/messages"
        done = subprocess.run(
            [*curl.argv, "-sS", "--fail", url], env=curl.env, capture_output=True, timeout=PATIENCE, check=True
        )
        assert json.loads(done.stdout)["messages"][0]["reverse_path"] == "a@example.com"


def test_the_log_says_where() -> None:
    with daemon("-httpPort=0") as running:
        assert running.process.stdout is not None
        line = running.process.stdout.readline().decode()
        number = int(line.rpartition("INFO: ")[2].rpartition("HTTP API started on port: ")[2])
        with Client(number, greeted=False) as client:
            client.send(GET)
            assert Answer(*read_answer(client)).status == 200  # type: ignore[arg-type]
