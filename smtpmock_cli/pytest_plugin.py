"""The pytest plugin: a fake SMTP server as a fixture, and what it received in the report of a failure.

Invariant: a test run that does not use the fixture imports nothing of the server.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .configuration import Configuration
    from .message import Message
    from .server import Server

MESSAGES_SHOWN = 20
"""How many messages a report shows, the last ones."""
LINES_SHOWN = 20
"""How many lines of each message's body it shows, the first ones."""
_LINE_SHOWN = 200


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "smtpmock(**settings): how the fixture smtpmock's server behaves; the fields of its Configuration."
    )


@pytest.fixture
def smtpmock(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A fake SMTP server that listens on a free port of this machine; see its ``port_number``.

    ``@pytest.mark.smtpmock(multiple_rcptto=True)`` configures it, on a test, a class or a module.
    """
    from .server import Server

    with Server(_configured(request.node)) as server:
        request.node.stash[_SERVER] = server
        yield server


_SERVER: pytest.StashKey[Server] = pytest.StashKey()


def _configured(node: pytest.Item) -> Configuration:
    """What the marks of a test say, the nearest last."""
    from .configuration import Configuration
    from .errors import ConfigurationError

    settings: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("smtpmock"))):
        if mark.args:
            pytest.fail(f"@pytest.mark.smtpmock takes settings by name, not {mark.args[0]!r}", pytrace=False)
        settings |= mark.kwargs
    try:
        return Configuration(**settings)
    except ConfigurationError as error:
        pytest.fail(f"@pytest.mark.smtpmock: {error}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    server = item.stash.get(_SERVER, None)
    if server is not None and report.when == "call" and report.failed:
        report.sections.append(("Messages of smtpmock", _printable(_told(server.messages()))))
    return report


def _printable(text: str) -> str:
    """The text in characters that the report's stream can have.

    For one that it can't (on Windows, say, where a pipe has cp1252), pytest would escape everything, line feeds too.
    """
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.replace("→", "->").replace("…", "...")
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _told(messages: list[Message]) -> str:
    if not messages:
        return "none arrived"
    lines = [f"{len(messages)} arrived"]
    if len(messages) > MESSAGES_SHOWN:
        lines[0] += f", the last {MESSAGES_SHOWN} of them:"
    for message in messages[-MESSAGES_SHOWN:]:
        lines += ["", repr(message), *_dialogue(message), *_body(message)]
    return "\n".join(map(_shown, lines))


def _dialogue(message: Message) -> Iterator[str]:
    """Each command that was sent, and its reply."""
    yield from _exchange(message.helo_request, message.helo_response)
    yield from _exchange(message.mailfrom_request, message.mailfrom_response)
    for request, response in message.rcptto_request_response:
        yield from _exchange(request, response)
    yield from _exchange(message.data_request, message.data_response)
    yield from _exchange("(the body)" if message.msg_response else "", message.msg_response)
    yield from _exchange(message.rset_request, message.rset_response)


def _exchange(request: str, response: str) -> Iterator[str]:
    if request:
        yield f"  {request} → {response}"


def _body(message: Message) -> Iterator[str]:
    lines = message.msg_request.decode("utf-8", "backslashreplace").splitlines()
    yield from (f"  | {line}" for line in lines[:LINES_SHOWN])
    if len(lines) > LINES_SHOWN:
        yield f"  … {len(lines) - LINES_SHOWN} lines more"


def _shown(line: str) -> str:
    """A line that does nothing to a terminal, and fits on it."""
    from .log import escape

    cut = line if len(line) <= _LINE_SHOWN else f"{line[:_LINE_SHOWN]}…"
    return escape(cut.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
