"""Whatever is answered is forgotten by reference counting alone: with the collector off, nothing is left of it."""

from __future__ import annotations

import gc
import smtplib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from smtpmock_cli import Configuration, Rule, Server
from tests.certificates import Certificate
from tests.control.mails import letter
from tests.control.web import ask, raw, read_answer
from tests.helpers import BODY, ENVELOPE, HELO, MAIL, PATIENCE, RCPT, TRANSACTION, Client

MARK = b"marked" * 20_000
MESSAGES = "/smtpmock/messages"

RULES = [
    Rule(on="noop", delay=0.01, drip=1000),
    Rule(on="helo", match="reset.example", then="reset"),
    Rule(on="helo", match="close.example", then="close"),
    Rule(on="message", contains="nothing has it", reply="550 No"),
    Rule(on="data", sender="cut@example.com", after_bytes=1000, then="close"),
]


@pytest.fixture
def server(certificate: Certificate) -> Iterator[Server]:
    settings = Configuration(
        http_port=0,
        esmtp=True,
        extensions=["SIZE", "CHUNKING", "PIPELINING"],
        tls_cert=certificate.cert,
        tls_key=certificate.key,
        auth_users=["joe:secret"],
        rules=RULES,
        session_timeout=30,
    )
    with Server(settings) as running:
        yield running


def send(server: Server, data: bytes) -> None:
    with Client(server.port_number) as client, suppress(ConnectionResetError):
        client.send(data)
        client.rest()


def get(path: str, method: str = "GET", body: Any = None) -> Callable[[Server], object]:
    return lambda server: ask(server, path, method, body)


def large_mail(server: Server) -> None:
    send(server, ENVELOPE + b"DATA\r\n" + MARK + b"\r\n.\r\nQUIT\r\n")


def rich_mail(server: Server) -> None:
    mail = letter("Grüße\n" * 20_000, From="A <a@example.com>", To="b@example.com", Subject="Grüße")
    mail.add_alternative('<p>Grüße <img src="cid:x"></p>' * 5_000, subtype="html")
    mail.add_attachment(MARK, maintype="application", subtype="pdf", filename="a.pdf")
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.send_message(mail)


def reset_amid_the_body(server: Server) -> None:
    with Client(server.port_number) as client:
        client.envelope()
        client.send(MARK[:1000])
        client.reset()


def left_amid_the_body(server: Server) -> None:
    with Client(server.port_number) as client:
        client.envelope()
        client.send(MARK[:1000])


def in_chunks(server: Server) -> None:
    chunk = b"BDAT %d\r\n%b" % (len(MARK), MARK)
    send(server, b"EHLO example.com\r\n" + MAIL + RCPT + chunk + chunk.replace(b"\r", b" LAST\r", 1) + b"QUIT\r\n")


def encrypted(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.starttls()
        client.login("joe", "secret")
        client.sendmail("a@example.com", ["b@example.com"], MARK)


def bad_handshake(server: Server) -> None:
    with Client(server.port_number) as client:
        client.ask(b"EHLO example.com\r\n")
        while not client.ask(b"STARTTLS\r\n").startswith("220"):
            pass
        client.send(b"no handshake\r\n")
        client.rest()


def login_that_fails(server: Server) -> None:
    send(server, b"EHLO example.com\r\nAUTH PLAIN AAA=\r\nAUTH LOGIN\r\n*\r\nQUIT\r\n")


def left_while_waiting(server: Server) -> None:
    for leave in (Client.close, Client.reset):
        with raw(server) as client:
            client.send(f"GET {MESSAGES}?count=99&timeout=30 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            leave(client)


def left_amid_the_answer(server: Server) -> None:
    large_mail(server)
    for method in ("GET", "DELETE"):
        with raw(server) as client:
            client.send(f"{method} {MESSAGES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            client.read()
            client.reset()


def half_closed(server: Server) -> None:
    with raw(server) as client:
        client.send(f"GET {MESSAGES}?count=99&timeout=0.05 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.end()


def kept(server: Server) -> None:
    with raw(server) as client:
        for _ in range(2):
            client.send(f"GET {MESSAGES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            read_answer(client)


def broken_request(server: Server) -> None:
    for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"GET /" + b"x" * 20_000):
        with raw(server) as client:
            client.send(sent)
            client.end()


def rules(server: Server) -> None:
    for line in (b"NOOP\r\nQUIT\r\n", b"HELO reset.example\r\n", b"HELO close.example\r\n"):
        send(server, line)


SESSIONS: dict[str, Callable[[Server], object]] = {
    "plain": lambda server: send(server, TRANSACTION + b"QUIT\r\n"),
    "several mails": lambda server: send(
        server, HELO + (MAIL + RCPT + b"DATA\r\n" + BODY + b".\r\n") * 3 + b"QUIT\r\n"
    ),
    "large": large_mail,
    "rich": rich_mail,
    "refused commands": lambda server: send(server, b"DATA\r\n" + MAIL + b"FOO\r\n" + b"x" * 70_000 + b"\r\nQUIT\r\n"),
    "rules": rules,
    "cut by a rule": lambda server: send(
        server, ENVELOPE.replace(b"<a@", b"<cut@") + b"DATA\r\n" + MARK + b"\r\n.\r\nQUIT\r\n"
    ),
    "reset": reset_amid_the_body,
    "left": left_amid_the_body,
    "chunks": in_chunks,
    "TLS": encrypted,
    "bad handshake": bad_handshake,
    "AUTH": login_that_fails,
}
REQUESTS: dict[str, Callable[[Server], object]] = {
    **{path: get(path) for path in ("/livez", "/nowhere", "/smtpmock/sessions", "/smtpmock/openapi.json", MESSAGES)},
    "a wait that runs out": get(f"{MESSAGES}?count=99&timeout=0.05"),
    "a wait that is met": get(f"{MESSAGES}?count=1"),
    "one message": get(f"{MESSAGES}/1"),
    "one mail": get(f"{MESSAGES}/1.eml"),
    "a mistake": get(f"{MESSAGES}?count=x"),
    "configuration": get("/smtpmock/configuration", "PATCH", {"msg_greeting": "220 hi"}),
    "a wrong configuration": get("/smtpmock/configuration", "PATCH", {"msg_greeting": 1}),
    "rules": get("/smtpmock/rules", "PUT", {"rules": [{"on": "noop", "delay": 0.01}]}),
    "no JSON": get("/smtpmock/rules", "PUT", b"[" * 100_000),
    "list": get("/api/v1/messages"),
    "search": get("/api/v1/search?query=hello"),
    "search for an attachment": get("/api/v1/search?query=has:attachment"),
    **{path: get(f"/api/v1/message/latest{path}") for path in ("", "/headers", "/raw", "/part/2", "/part/99")},
    "HTML": get("/view/latest.html"),
    "text": get("/view/latest.txt"),
    "mark": get("/api/v1/messages", "PUT", {"Read": True, "Search": "hello"}),
    "delete": get("/api/v1/messages", "DELETE", {"IDs": ["1"]}),
    "left while waiting": left_while_waiting,
    "left amid the answer": left_amid_the_answer,
    "half-closed": half_closed,
    "kept": kept,
    "broken": broken_request,
}


def is_ours(one: object) -> bool:
    return str(type(one).__module__).startswith("smtpmock_cli.")


def ours() -> Counter[str]:
    """How many objects there are of each class of the package that belongs to a session, a request or a message."""
    objects = [one for one in gc.get_objects() if is_ours(one)]
    return Counter(type(one).__name__ for one in objects if type(one).__name__ not in LASTING)


LASTING = {"Timer", "Watch", "Path", "ActiveRule", "_Counter", "Reply"}
"""What is kept for a while and leads to nothing else: the loop's, the recogniser's last lines, the rules' counters."""


def assert_gone(server: Server, before: Counter[str]) -> None:
    """Connections close when both sides have said so, which may be a moment after a client's call, and with them
    comes the message of a session that was broken off."""
    deadline = time.monotonic() + PATIENCE / 4
    while (left := ours() - before) and time.monotonic() < deadline:
        server.messages_and_purge()
        time.sleep(0.01)  # there is no event for what is not there any more
    assert left == Counter()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("play", SESSIONS.values(), ids=SESSIONS.keys())
def test_nothing_is_left_of_a_session(server: Server, play: Callable[[Server], object], no_collector: None) -> None:
    warm_up(server)
    before = ours()
    for _ in range(3):
        play(server)
        server.messages_and_purge()
    assert_gone(server, before)
    assert_no_garbage()


@pytest.mark.parametrize("play", REQUESTS.values(), ids=REQUESTS.keys())
def test_nothing_is_left_of_a_request(server: Server, play: Callable[[Server], object], no_collector: None) -> None:
    warm_up(server)
    before = ours()
    for _ in range(3):
        rich_mail(server)
        play(server)
        ask(server, MESSAGES, "DELETE")
    ask(server, "/smtpmock/configuration", "DELETE")
    assert_gone(server, before)
    assert_no_garbage()


def warm_up(server: Server) -> None:
    """Modules are loaded, and what is remembered for good is."""
    rich_mail(server)
    for path in (MESSAGES, "/api/v1/messages", "/api/v1/search?query=x", "/smtpmock/openapi.json"):
        ask(server, path)
    ask(server, MESSAGES, "DELETE")


def assert_no_garbage() -> None:
    """No cycle, not even one that holds nothing of ours, leads to a long text or to what is ours."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    reached: list[object] = list(gc.garbage)
    seen = {id(one) for one in reached}
    for one in reached:
        for referent in gc.get_referents(one):
            if id(referent) not in seen and isinstance(referent, (bytes, bytearray, str, list, dict, tuple)):
                seen.add(id(referent))
                reached.append(referent)
    long = [one for one in reached if isinstance(one, (bytes, bytearray, str)) and len(one) > 10_000]
    assert long == []
    assert [one for one in reached if is_ours(one)] == []
