"""HTTP clients for the tests: one that does what it is told, right or wrong, and a well-behaved one."""

from __future__ import annotations

import http.client
import json
import smtplib
import socket
from typing import Any, NamedTuple, NoReturn

from smtpmock_cli import Server
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


def read_answer(client: Client) -> tuple[int, dict[str, str], bytes]:
    """The next response of a raw connection: status, headers in lower case, body."""
    status = int(client.read().split()[1])
    headers: dict[str, str] = {}
    while line := client.read():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return status, headers, client.file.read(int(headers.get("content-length", "0")))


def send_mail(server: Server, subject: str = "hi", sender: str = "a@example.com") -> None:
    """A mail, by a real client, stored once this returns."""
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com", timeout=PATIENCE) as client:
        client.sendmail(sender, ["b@example.com"], f"Subject: {subject}\r\n\r\nHello.\r\n")


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
