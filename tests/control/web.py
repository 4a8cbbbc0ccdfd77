"""HTTP clients for the tests: one that does what it is told, right or wrong, and a well-behaved one."""

from __future__ import annotations

import http.client
import json
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from smtpmock_cli import Server
from smtpmock_cli.control.exchange import DeferredResponse, Request, Response
from smtpmock_cli.control.routes import Router
from smtpmock_cli.control.steps import finish
from tests.helpers import PATIENCE, TRANSACTION, Client


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def port(server: Server) -> int:
    assert server.http_port_number is not None
    return server.http_port_number


def ask(server: Server, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """One request on a connection of its own; a body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def raw(server: Server) -> Client:
    """A connection for bytes."""
    return Client(port(server), greeted=False)


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """The server does nothing meanwhile, however long a busy machine takes to let the client do something."""
    stands, goes_on = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        assert goes_on.wait(PATIENCE)

    server._loop.call_from_thread(stand)
    assert stands.wait(PATIENCE)
    try:
        yield
    finally:
        goes_on.set()


def read_answer(client: Client) -> tuple[int, dict[str, str], bytes]:
    """The next response of a raw connection: status, headers in lower case, body."""
    status = int(client.read().split()[1])
    headers: dict[str, str] = {}
    while line := client.read():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    if headers.get("transfer-encoding") == "chunked":
        return status, headers, b"".join(read_chunks(client))
    return status, headers, client.file.read(int(headers.get("content-length", "0")))


def read_chunks(client: Client) -> Iterator[bytes]:
    """The chunks of a body, up to the last one (RFC 9112 section 7.1)."""
    while size := int(client.read(), 16):
        yield client.file.read(size)
        assert client.read() == ""
    assert client.read() == ""


def send_mail(server: Server, subject: str = "hi", sender: str = "a@example.com") -> None:
    """A mail, by a real client, stored once this returns."""
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.sendmail(sender, ["b@example.com"], f"Subject: {subject}\r\n\r\nHello.\r\n".encode())


def send_mails(server: Server, count: int) -> None:
    """Mails as fast as one client can."""
    for _ in range(count):
        with Client(server.port_number) as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()


def send_for_ever(sock: socket.socket, data: bytes) -> NoReturn:
    """Until the socket refuses; where nothing is bounded, it does not."""
    while True:
        sock.sendall(data)


class Whole(NamedTuple):
    """A response with all of its body."""

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def whole(response: Response) -> Whole:
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    assert response.length in (None, len(body))
    return Whole(response.status, response.content_type, response.headers, body)


def answer_of(router: Router, request: Request) -> Whole:
    """What an endpoint answers, without a server; it must not be deferred."""
    route, arguments = router.find(request)
    answer = route.endpoint(request, **arguments)
    assert not isinstance(answer, DeferredResponse)
    return whole(answer if isinstance(answer, Response) else finish(answer))
