"""Listener: which address each spelling of a host listens on, as go-smtp-mock has it."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from smtpmock_cli import Configuration, Server, ServerStartError
from smtpmock_cli.net.listener import listen
from tests.helpers import Client, daemon
from tests.test_cli import posix
from tests.test_server import can_bind, has_ipv6

LOOPBACK = next((name for _, name in socket.if_nameindex() if name.lower().startswith("lo")), "lo")
"""The name of the loopback interface."""


def listens_on(host: str) -> str:
    """The address that the host listens on."""
    with closing(listen(host, 0)) as sock:
        return str(sock.getsockname()[0])


@pytest.fixture
def ipv6() -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize("host", ["127.0.0.1", "[127.0.0.1]", "localhost", "[localhost]", "LocalHost"])
def test_ipv4(host: str) -> None:
    assert listens_on(host) == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "smtp.localhost"])
def test_localhost_without_a_resolver_that_knows_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", knows_nothing)
    assert listens_on(host) == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", ".", "localhost-"])
def test_other_names_need_a_resolver(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", knows_nothing)
    with pytest.raises(socket.gaierror):
        listen(host, 0)


def knows_nothing(*_: object, **__: object) -> None:
    """The resolver of a container with neither /etc/hosts nor a name server."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", ["[::1]", "[0::1]", "[0:0:0:0:0:0:0:1]", "[::0.0.0.1]"])
def test_ipv6(host: str) -> None:
    assert listens_on(host) == "::1"


@pytest.mark.parametrize(
    "host", ["[::ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("zone", ["", "%1"])
def test_an_ipv4_mapped_address_is_the_ipv4_address_in_it(host: str, zone: str) -> None:
    assert listens_on(host.replace("]", f"{zone}]")) == "127.0.0.1"


def test_the_client_of_an_ipv4_mapped_address_is_served() -> None:
    with daemon("-host=[::ffff:127.0.0.1]") as running, Client(running.port, "127.0.0.1") as client:
        assert client.ask(b"NOOP\r\n") == "250 Ok"


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("zone", [LOOPBACK, str(socket.if_nametoindex(LOOPBACK)), "01", "nope", "1x", "", "9" * 30])
def test_a_zone_is_a_name_or_a_number_and_any_other_is_none(zone: str) -> None:
    assert listens_on(f"[::1%{zone}]") == "::1"


def test_the_zone_of_a_link_local_address_chooses_its_interface() -> None:
    found = link_local()
    if found is None:
        pytest.skip("this machine has no link-local address, or does not say so in /proc")
    address, interface, number = found
    with closing(listen(f"[{address}%{interface}]", 0)) as sock:
        assert sock.getsockname()[3] == number
    with pytest.raises(OSError, match=r"\[(Errno|WinError)"):  # the number differs from system to system
        listen(f"[{address}%{LOOPBACK}]", 0)


def link_local() -> tuple[str, str, int] | None:
    """An address that only its interface makes unique, that interface's name and number."""
    try:
        with open("/proc/net/if_inet6") as file:  # noqa: PTH123 - a line each, as it is
            rows = [line.split() for line in file]
    except OSError:
        return None
    for packed, number, _, scope, _, interface in rows:
        if scope == "20":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed)), interface, int(number, 16)
    return None


EVERYWHERE = ["", "[]", "0.0.0.0", "[0.0.0.0]", "::", "[::]", "[0::0]", "[::ffff:0.0.0.0]", "[::ffff:0:0]", "[::%1]"]


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", EVERYWHERE)
def test_an_unspecified_address_is_every_interface(host: str) -> None:
    assert listens_on(host) == "::"


@posix
@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", ["0", "00", "0x0", "0.0", "000.0.0.0", "[0]"])
def test_so_is_one_that_only_the_resolver_takes_for_an_address(host: str) -> None:
    assert listens_on(host) == "::"


TORN = ["[", "]", "[[", "]]", "][", "[[]]", "[]]", "[[]", "[::1", "::1]", "[[::1]]", "[::1]]", "[[::1]"]
TORN += ["[::1]x", "x[::1]", "[::1][::1]", "[localhost", "localhost]", "[127.0.0.1", "127.0.0.1]", "[[localhost]]"]
PORTS = ["127.0.0.1:25", "[127.0.0.1]:25", "[::1]:25", "localhost:25"]
SPACED = [" 127.0.0.1", "127.0.0.1 ", "[ ::1]", "[::1 ]", "localhost\n", "a b"]
NO_ADDRESS = [":", ":::", "[:1]", "[::1:]", "[1::2::3]", "[::x]", ":\x00", "*", "127.0.0.1/8", "127.0.0.256"]
NO_ADDRESS += ["[::1%%]", "[::1%a%b]", "[%lo]", "%lo", "127.0.0.1%lo", "[::ffff:256.0.0.1]", "[::ffff:127.1]"]


@pytest.mark.parametrize("host", TORN + PORTS + SPACED + NO_ADDRESS, ids=ascii)
def test_what_is_not_an_address_is_a_start_error(host: str) -> None:
    with pytest.raises((OSError, ValueError)):
        listen(host, 0)
    with pytest.raises(ServerStartError, match="SMTP mock server"):
        Server(Configuration(host_address=host)).start()


@pytest.mark.parametrize("host", ["[", "]", "[::1", "::1]", "[localhost"])
def test_torn_brackets_are_a_start_error_of_the_http_api_too(host: str) -> None:
    with pytest.raises(ServerStartError, match="HTTP API"):
        Server(Configuration(http_port=0, http_host=host)).start()


@posix
@pytest.mark.parametrize("host", ["127.1", "127.0.1", "0x7f000001", "0x7f.1", "2130706433", "0177.0.0.1", "[127.1]"])
def test_what_else_the_resolver_takes_for_an_ipv4_address(host: str) -> None:
    assert listens_on(host) == "127.0.0.1"


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", ["::1", "0:0:0:0:0:0:0:1", f"::1%{LOOPBACK}"])
def test_an_ipv6_address_needs_no_brackets(host: str) -> None:
    assert listens_on(host) == "::1"


def test_another_loopback_address_may_be_mapped_too() -> None:
    if not can_bind("127.0.0.2"):
        pytest.skip("this system has only 127.0.0.1 of the loopback network")
    assert listens_on("[::ffff:127.0.0.2]") == "127.0.0.2"
