"""Who may speak to the HTTP side."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.control import gate
from smtpmock_cli.control.exchange import text_response
from smtpmock_cli.control.routes import Route
from tests.control.web import ask, port, raw, read_answer, send_mail
from tests.helpers import Client, free_port
from tests.test_server import has_ipv6

MESSAGES = "/smtpmock/messages"
OWN, BROWSER = "http://mailpit:8025", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0"


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


PURGES = (
    "//localhost/smtpmock/messages?purge=true",
    "//localhost/..//smtpmock/messages?purge=true",
    "//127.0.0.1:8025/smtpmock/messages?purge=true",
    "///smtpmock/messages?purge=true",
    "//smtpmock//messages//?purge=1",
    "/smtpmock/%6dessages?purge=true",
    "/smtpmock/messages/?%70urge=true",
    "/smtpmock/messages?count=0&purge=true#x",
    "http://evil.example/smtpmock/messages?purge=true",
    "HTTPS://evil.example/smtpmock/messages?purge=true",
)


@pytest.mark.parametrize("target", PURGES)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8025", "localhost.evil.example"])
def test_a_name_that_somebody_made_up_purges_nothing_however_the_path_is_spelt(
    server: Server, target: str, host: str
) -> None:
    send_mail(server)
    with raw(server) as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert read_answer(client)[0] == 403
    assert len(server.messages()) == 1


@pytest.mark.parametrize("target", [target for target in PURGES if "evil" not in target])
def test_a_picture_on_another_sites_page_purges_nothing_however_the_query_is_spelt(server: Server, target: str) -> None:
    send_mail(server)
    for mode, dest in (("no-cors", "image"), ("navigate", "document"), ("navigate", "iframe")):
        with raw(server) as client:
            client.send(
                f"GET {target} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n"
                f"Sec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}\r\n\r\n".encode()
            )
            assert read_answer(client)[0] in (403, 404)
    assert len(server.messages()) == 1


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:80@evil.com", "[127.0.0.1]evil.com", "localhost:evil", "localhost:80:80", "localhost/", "a b"),
        *(
            "[::1",
            "::1]",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[::g]",
            "[1.2.3.4]",
            "[]",
            "[::1%lo]",
            "localh\xf6st",
            "a?b",
            "a#",
        ),
        *("localhost@evil.example", "http://localhost", "localhost,evil", "\xa0localhost"),
    ],
)
def test_a_host_that_is_not_valid(server: Server, host: str) -> None:
    with raw(server) as client:
        client.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        assert read_answer(client)[0] in ((403,) if host == "localhost,evil" else (400,))


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
        ({"Sec_Fetch_Site": ""}, 403),
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
    ("mode", "dest", "is_shown"),
    [
        ("navigate", "document", True),
        ("no-cors", "image", True),
        ("no-cors", "script", False),
        ("no-cors", "empty", False),
        ("cors", "empty", False),
    ],
)
def test_another_site_can_link_to_a_mails_page_and_show_its_pictures(
    server: Server, mode: str, dest: str, *, is_shown: bool
) -> None:
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com") as client:
        client.sendmail("a@example.com", ["b@example.com"], "Content-Type: text/html\r\n\r\n<p>hi")
    from_page = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
    for path in ("/view/1.html", "//view//1.html/", "/api/v1/message/1/part/0"):
        assert ask(server, path, **from_page).status == (200 if is_shown else 403)
    for path in ("/view/1.txt", MESSAGES, "/livez", "/api/v1/messages", "/smtpmock/messages/1.eml"):
        assert ask(server, path, **from_page).status == 403


@pytest.mark.parametrize(
    "early",
    [
        {"Sec_Purpose": "prefetch"},
        {"Sec_Purpose": "prefetch;prerender"},
        {"Sec_Purpose": "prefetch;anonymous-client-ip"},
        {"Purpose": "prefetch"},
        {"X_Moz": "prefetch"},
    ],
)
def test_nothing_is_loaded_ahead_of_a_browsers_user(server: Server, early: dict[str, str]) -> None:
    """For a page's speculation rules, Chromium sends "none", whichever site the page is of."""
    send_mail(server)
    for site in ({"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "cross-site"}, {}):
        headers = {**early, **site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        for path in (MESSAGES + "?purge=true", MESSAGES, "/view/latest.html", "/api/v1/message/1"):
            assert ask(server, path, **headers).status == 403
    assert len(server.messages()) == 1
    assert ask(server, "/api/v1/info").json["Unread"] == 1


@pytest.mark.parametrize("dest", ["image", "iframe", "embed", "object"])
def test_another_sites_page_cannot_search_by_what_loads(server: Server, dest: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port_number, "example.com") as client:
        client.sendmail("a@example.com", ["b@example.com"], "Subject: code 1234\r\nContent-Type: image/png\r\n\r\nx")
    mode = "no-cors" if dest == "image" else "navigate"
    page = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
    for path in ("/api/v1/message/latest/part/0", "/view/latest.html"):
        for query in ("?query=1234", "?%71uery=1234", "?query=", "?query=9999"):
            assert ask(server, path + query, **page).status == 403
            assert ask(server, path + query, **page, Referer="http://evil.example/").status == 403
    assert ask(server, "/api/v1/message/latest/part/0", **page).status == 200
    link = {**page, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert ask(server, "/api/v1/message/latest/part/0?query=1234", **link).status == 200


def test_only_what_says_so_is_open_to_other_sites_pages(server: Server) -> None:
    ask(server, "/livez")
    assert server._site is not None
    routes = server._site.routes
    assert {route.path for route in routes if route.embeddable} == {
        "/view/{id}.html",
        "/api/v1/message/{id}/part/{part_id}",
    }
    assert all(route.method == "GET" for route in routes if route.embeddable)
    assert not Route("GET", "/new", lambda _: text_response("")).embeddable


def test_only_loopback_unless_told_otherwise() -> None:
    assert Configuration().http_host == "127.0.0.1"
    number = free_port()
    with Server(Configuration(http_port=number, http_host="0.0.0.0")) as server:
        assert server.http_port_number == number
        assert ask(server, "/livez").status == 200


@pytest.fixture
def beyond_loopback() -> Iterator[Server]:
    with Server(Configuration(http_port=0, http_host="0.0.0.0")) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mailpit:8025", 200),
        ("smtpmock", 200),
        ("SMTPMOCK:1", 200),
        ("192.0.2.1:8025", 200),
        ("[2001:db8::1]:8025", 200),
        ("0.0.0.0", 200),
        ("evil.example", 403),
        ("evil.example:8025", 403),
        ("smtpmock.", 403),
        ("my_host-2", 200),
        ("evil%2eexample", 403),
        ("%65vil", 403),
        ("a,b", 403),
        ("127.1", 403),
        ("1.2.3.4.5", 403),
        ("192.0.2.1.evil.example", 403),
        ("", 403),
        ("[smtpmock]", 400),
    ],
)
def test_beyond_loopback_any_name_that_cannot_be_public(beyond_loopback: Server, host: str, status: int) -> None:
    assert ask(beyond_loopback, "/livez", Host=host).status == status


@pytest.mark.parametrize("host", ["mailpit:8025", "192.0.2.1", "[2001:db8::1]"])
def test_on_loopback_only_its_own(server: Server, host: str) -> None:
    assert ask(server, "/livez", Host=host).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"User_Agent": "curl/8.5.0"}, 200),
        ({"Referer": f"{OWN}/"}, 200),
        ({"Referer": f"{OWN}/view/1.html", "User_Agent": BROWSER}, 200),
        ({"Origin": OWN, "User_Agent": BROWSER}, 200),
        ({"Sec_Fetch_Site": "same-origin", "User_Agent": BROWSER}, 200),
        ({"Sec_Fetch_Site": "none", "User_Agent": BROWSER}, 403),
        ({"User_Agent": BROWSER}, 403),
        ({"Referer": "http://evil.example/"}, 403),
        ({"Referer": "http://mailpit:3000/"}, 403),
        ({"Referer": "http://evil.example/http://mailpit:8025/"}, 403),
        ({"Referer": "http://mailpit:8025@evil.example/"}, 403),
        ({"Referer": "about:blank"}, 403),
        ({"Referer": "http://evil.example/", "User_Agent": BROWSER}, 403),
    ],
)
def test_beyond_loopback_a_browser_has_to_say_which_page_changes_something_by_get(
    beyond_loopback: Server, headers: dict[str, str], status: int
) -> None:
    send_mail(beyond_loopback)
    own = {"Host": "mailpit:8025", **headers}
    assert ask(beyond_loopback, MESSAGES + "?%70urge=1", **own).status == status
    assert len(beyond_loopback.messages()) == (0 if status == 200 else 1)
    if "Origin" not in headers:
        assert ask(beyond_loopback, MESSAGES, **own).status == 200
        assert ask(beyond_loopback, MESSAGES + "?purge=false", **own).status == 200


def test_beyond_loopback_clients_that_are_not_browsers_change_what_they_like(beyond_loopback: Server) -> None:
    """PowerShell says that it is Mozilla, and sends neither Origin nor Referer."""
    agent = {"Host": "mailpit:8025", "User_Agent": "Mozilla/5.0 (Windows NT; en-US) WindowsPowerShell/5.1"}
    assert ask(beyond_loopback, MESSAGES, "DELETE", **agent).status == 200
    assert ask(beyond_loopback, "/smtpmock/rules", "PUT", {"rules": []}, **agent).status == 200


def test_on_loopback_a_referer_of_another_site_changes_nothing(server: Server) -> None:
    send_mail(server)
    assert ask(server, MESSAGES + "?purge=true", Referer="http://evil.example/").status == 403
    assert ask(server, MESSAGES + "?purge=true", User_Agent=BROWSER).status == 200
