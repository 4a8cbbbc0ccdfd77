"""Who may speak to the HTTP side."""

from __future__ import annotations

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.control import gate
from tests.control.web import ask, port, raw, read_answer, send_mail
from tests.helpers import Client, free_port
from tests.test_server import has_ipv6

MESSAGES = "/smtpmock/messages"


@pytest.mark.parametrize("path", ["/livez", MESSAGES, "/api/v1/messages", "/nowhere"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.2", "[::1]", ""]
)
def test_another_name_is_refused(server: Server, path: str, host: str) -> None:
    answer = ask(server, path, Host=host)
    assert answer.status == 403
    assert "-httpNames" in answer.json["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8025"])
def test_its_own_names_with_any_port(server: Server, host: str) -> None:
    """The port may be another one where it is mapped, as into a container."""
    assert ask(server, "/livez", Host=host).status == 200


def test_the_name_in_the_request_line_counts(server: Server) -> None:
    with raw(server) as client:
        client.send(b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(client)[0] == 403


def test_further_names() -> None:
    with Server(Configuration(http_port=0, http_names=["smtpmock", "192.0.2.1", "Mail.Test"])) as server:
        for host in ("smtpmock:8025", "192.0.2.1", "mail.test"):
            assert ask(server, "/livez", Host=host).status == 200
        assert ask(server, "/livez", Host="other").status == 403


def test_every_interface_is_no_name() -> None:
    assert gate.names(["::", "[::]", "0.0.0.0", "", "[::1]", "A.b"]) == {"::1", "a.b"}


def test_ipv6() -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with (
        Server(Configuration(http_port=0, http_host="::1")) as server,
        Client(port(server), "::1", greeted=False) as client,
    ):
        for host, status in (("[::1]:8025", 200), ("[::1]", 200), ("[::2]", 403)):
            client.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert read_answer(client)[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8025"}, 200),
        ({"Origin": "https://LOCALHOST:8025"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"}, 403),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("DELETE", MESSAGES), ("GET", MESSAGES + "?purge=true")])
def test_pages_of_other_sites_change_nothing(
    server: Server, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    send_mail(server)
    assert ask(server, path, method, Host="localhost:8025", **headers).status == status
    assert len(server.messages()) == (0 if status == 200 else 1)


@pytest.mark.parametrize(
    ("mode", "dest", "status"),
    [
        ("navigate", "document", 200),
        ("no-cors", "image", 200),
        ("no-cors", "script", 403),
        ("cors", "empty", 403),
    ],
)
def test_another_site_can_link_to_a_page_and_show_a_picture(server: Server, mode: str, dest: str, status: int) -> None:
    from_page = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
    assert ask(server, MESSAGES, **from_page).status == status
    assert ask(server, MESSAGES + "?purge=true", **from_page).status == 403


def test_only_loopback_unless_told_otherwise() -> None:
    assert Configuration().http_host == "127.0.0.1"
    number = free_port()
    with Server(Configuration(http_port=number, http_host="0.0.0.0")) as server:
        assert server.http_port_number == number
        assert ask(server, "/livez").status == 200
        assert ask(server, "/livez", Host="0.0.0.0").status == 403
