"""The description of the HTTP API says what is served; schemathesis drives the server by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from smtpmock_cli import Configuration, Server
from smtpmock_cli.control.api import USUAL_WAIT
from smtpmock_cli.control.openapi import document
from smtpmock_cli.control.routes import Route
from tests.control.web import ask, port, send_mail

if TYPE_CHECKING:
    import schemathesis
else:
    schemathesis = pytest.importorskip(
        "schemathesis", reason="schemathesis is missing: what it needs in Rust does not load under Wine"
    )

DOCUMENT = document()
schema = schemathesis.openapi.from_dict(DOCUMENT)


def test_what_is_served_is_described_and_nothing_else(server: Server) -> None:
    served = {(route.path, route.method.lower()) for route in routes(server)}
    assert {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods} == served
    assert ask(server, "/smtpmock/openapi.json").json == DOCUMENT


def routes(server: Server) -> tuple[Route, ...]:
    """Those of a server that has had its first request."""
    assert ask(server, "/livez").status == 200
    site = server._site
    assert site is not None
    return site.routes


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that has something to tell."""
    with Server(Configuration(http_port=0)) as server:
        for _ in range(3):
            send_mail(server)
        yield f"http://127.0.0.1:{port(server)}"


@schema.parametrize()
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_it_answers_as_described(case: schemathesis.Case[Any], url: str) -> None:
    shorten_wait(case)
    share_code(case)
    case.call_and_validate(base_url=url)


def share_code(case: schemathesis.Case[Any]) -> None:
    """All lines of a reply have one code, which a schema cannot say."""
    body: Any = case.body
    if case.path == "/smtpmock/rules" and isinstance(body, dict):
        rules = body.get("rules", [body])
        for rule in rules if isinstance(rules, list) else []:
            lines = rule.get("reply") if isinstance(rule, dict) else None
            if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
                rule["reply"] = [lines[0][:3] + line[3:] for line in lines]


def shorten_wait(case: schemathesis.Case[Any]) -> None:
    """An hour is a valid time to wait for what does not come."""
    with suppress(TypeError, ValueError):
        seconds = float(case.query.get("timeout", USUAL_WAIT))
        if "count" in case.query and seconds > 0.01:
            case.query["timeout"] = 0.01
