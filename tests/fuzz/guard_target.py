"""Who may call the HTTP side: targets, hosts, origins and queries against a model that decides by what is allowed.

An input is a request's lines: target, Host, Origin, Sec-Fetch-Site, Referer, User-Agent, Sec-Purpose; an empty one
is not sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from smtpmock_cli.control.exchange import Refusal, Request
from smtpmock_cli.control.gate import Gate
from smtpmock_cli.control.routes import Route
from smtpmock_cli.control.target import parse_target
from tests.fuzz.http_service import service

LONGEST = 512
ADDRESS = "127.0.0.1"
_FIELDS = ("host", "origin", "sec-fetch-site", "referer", "user-agent", "sec-purpose")
_OWN = {"localhost", ADDRESS}
_GATES = {"127.0.0.1": Gate(["localhost"], "127.0.0.1"), "": Gate(["localhost"], "")}
_DIGITS = set("0123456789")


def check(data: bytes) -> None:
    target, *values = data.decode("latin-1").split("\n")
    headers = {name: value for name, value in zip(_FIELDS, values, strict=False) if value}
    parsed = _parsed(target)
    if parsed is None:
        assert not target.startswith("/")
        return
    authority, path, query = parsed
    _check_target(target, authority, path)
    if authority is not None:
        headers["host"] = authority
    for host, gate in _GATES.items():
        route = _passed(gate, Request("GET", path, query, headers, b""))
        if route is not None:
            _check_passed(route, headers, query, is_on_loopback=host != "")


def _parsed(target: str) -> tuple[str | None, str, str] | None:
    try:
        return parse_target(target)
    except Refusal:
        return None


def _check_target(target: str, authority: str | None, path: str) -> None:
    """A name comes from the absolute form alone, and what follows a slash is a path, however many they are."""
    assert (authority is None) == target.startswith(("/", "*"))
    assert "?" not in path
    assert "#" not in path
    if target.startswith("/"):
        assert target.startswith(path)


def _passed(gate: Gate, request: Request) -> Route | None:
    """The route that answers it; None where it is refused."""
    try:
        gate.check_host(request, ADDRESS)
        route, _ = service().router.find(request)
        gate.check_route(request, route)
    except Refusal:
        return None
    return route


def _check_passed(route: Route, headers: dict[str, str], query: str, *, is_on_loopback: bool) -> None:
    given = headers.get("host", "")
    name = _name(given)
    assert name in _OWN or not (is_on_loopback or _may_be_public(name)), given
    if "origin" in headers:
        assert _authority(headers["origin"]) == given.lower()
    is_other_site = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    assert not is_other_site
    assert "prefetch" not in headers.get("sec-purpose", "")
    if route.path == "/smtpmock/messages" and _purges(query):
        referer = headers.get("referer")
        assert referer is None or _authority(referer) == given.lower()


def _authority(url: str) -> str:
    scheme, _, rest = url.lower().partition("://")
    assert scheme in ("http", "https")
    return rest.partition("/")[0].partition("?")[0].partition("#")[0]


def _name(host: str) -> str:
    """A host without its port, read from behind."""
    before, colon, port = host.rpartition(":")
    return (before if colon and set(port) <= _DIGITS and not before.endswith(":") else host).lower()


def _may_be_public(name: str) -> bool:
    is_address = (name[:1] == "[" and name[-1:] == "]") or set(name) <= {*_DIGITS, "."}
    return "." in unquote(name) and not is_address


def _purges(query: str) -> bool:
    pairs = (pair.partition("=")[::2] for pair in query.split("&"))
    return any(unquote_plus(name) == "purge" and unquote_plus(value) in ("true", "1") for name, value in pairs)


TOKENS = (
    *(
        b"/",
        b"//",
        b"http://",
        b"https://",
        b"localhost",
        b"127.0.0.1",
        b"[::1]",
        b":8025",
        b"@",
        b"evil.example",
        b"%",
    ),
    *(
        b"?purge=true",
        b"?%70urge=1",
        b"&purge=",
        b"#",
        b"\\",
        b"\n",
        b"..",
        b"%2f",
        b"/smtpmock/messages",
        b"/view/1.html",
    ),
    *(b"none", b"same-origin", b"cross-site", b"same-site", b"null", b"Mozilla/5.0", b"mailpit", b"192.0.2.1", b"\xff"),
    *(b"prefetch", b"prefetch;prerender", b"%2e"),
)


def seeds() -> Iterator[bytes]:
    targets = (
        *(
            b"/smtpmock/messages?purge=true",
            b"//localhost/smtpmock/messages?purge=true",
            b"/smtpmock/messages/?%70urge=true",
        ),
        *(
            b"http://localhost/smtpmock/messages?purge=1",
            b"/view/1.html",
            b"/livez#x",
            b"*",
            b"localhost:80",
            b"//",
            b"/",
        ),
        *(
            b"HTTP://evil.example/livez",
            b"http://[::1/livez",
            b"/%2f/smtpmock%2fmessages",
            b"/smtpmock/messages?a=b&purge=true",
        ),
    )
    hosts = (
        *(b"localhost", b"LOCALHOST:8025", b"127.0.0.1:80@evil.com", b"[127.0.0.1]evil.com", b"localhost:evil", b""),
        *(b"evil.example", b"mailpit:8025", b"192.0.2.1", b"[2001:db8::1]:8025", b"localhost.", b"[::1]", b"1.2.3.4.5"),
        b"evil%2eexample",
    )
    for target in targets:
        for host in hosts:
            yield b"\n".join((target, host))
            yield b"\n".join(
                (target, host, b"http://" + host, b"same-origin", b"http://" + host + b"/x", b"Mozilla/5.0")
            )
            yield b"\n".join((target, host, b"", b"none", b"", b"Mozilla/5.0"))
            yield b"\n".join((target, host, b"", b"none", b"", b"Mozilla/5.0", b"prefetch"))
            yield b"\n".join((target, host, b"", b"cross-site", b"http://evil.example/", b"Mozilla/5.0"))
