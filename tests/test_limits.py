"""docs/limits.md names the program's limits: each of them, and as its constants and defaults have it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from smtpmock_cli import Configuration, pytest_plugin
from smtpmock_cli.control.addresses import MOST_MAILBOXES
from smtpmock_cli.control.api import LONGEST_WAIT, MOST_AWAITED, USUAL_WAIT
from smtpmock_cli.control.entity import (
    DEEPEST_PART,
    LONGEST_FIELD,
    LONGEST_LIST,
    LONGEST_MIME_FIELD,
    MOST_FIELDS,
    MOST_PARTS,
)
from smtpmock_cli.control.http import BODY_LIMIT, HEAD_LIMIT, IDLE_TIMEOUT, REQUEST_TIMEOUT
from smtpmock_cli.control.selection import _LONGEST_PAIR, _MOST_NAMES, USUAL_LIMIT
from smtpmock_cli.control.site import CONNECTIONS_LIMIT
from smtpmock_cli.control.summaries import ROOM
from smtpmock_cli.control.summary import KEPT_TEXT, SNIPPET_LENGTH
from smtpmock_cli.log import _PATIENCE, BACKLOG_LIMIT, LAST_PATIENCE
from smtpmock_cli.messages_file import WAITING_LIMIT
from smtpmock_cli.net import listener, select_limit
from smtpmock_cli.net.connection import _LINGER, _SHORT_LINGER
from smtpmock_cli.ready import LIMIT
from smtpmock_cli.rule import KEYS, LONGEST_DELAY, MOST, RULES_LIMIT
from smtpmock_cli.server import _LAST_PATIENCE
from smtpmock_cli.smtp.counters import COUNTERS_KEPT
from smtpmock_cli.smtp.dialogue import LINES_LIMIT
from smtpmock_cli.smtp.occasion import _HEAD_SEARCHED, _LONGEST_DECODED
from smtpmock_cli.smtp.session import LINE_LIMIT
from smtpmock_cli.smtp.transaction import RECIPIENT_LIMIT
from tests.helpers import ROOT
from tests.test_architecture import MODULES, PACKAGE

PAGE = (ROOT / "docs" / "limits.md").read_text("utf-8")
KIB, MIB = 1024, 1024 * 1024
DEFAULT = Configuration()
WINDOWS = select_limit.connections(select_limit.WINDOWS_SOCKETS)


def kib(size: int) -> str:
    assert size % KIB == 0
    return f"{size // KIB} KiB"


def mib(size: int) -> str:
    assert size % MIB == 0
    return f"{size // MIB} MiB"


def s(seconds: float) -> str:
    return f"{seconds:,g} s"


LIMITS = {
    "concurrent SMTP sessions": f"`-maxConnections`, {DEFAULT.max_connections:,}",
    "concurrent connections to the HTTP API": f"{CONNECTIONS_LIMIT:,}",
    "by file descriptors": f"the process's limit, less those in use at start-up and {listener._RESERVED}",
    "by the selector, on Windows": f"{WINDOWS}",
    "connections that wait to be accepted": f"{listener._BACKLOG:,}",
    "file descriptors left at start-up": f"at least {listener._FEWEST}",
    "command line": kib(LINE_LIMIT),
    "message body": f"`-msgSizeLimit`, {mib(DEFAULT.msg_size_limit)}",
    "RCPT commands of a message": f"{RECIPIENT_LIMIT:,}",
    "command lines of a session": f"{LINES_LIMIT:,}",
    "wait for a command": f"`-sessionTimeout`, {s(DEFAULT.session_timeout)}",
    "wait for the client to close its side": f"{s(_LINGER)}; {s(_SHORT_LINGER)} during shutdown",
    "wait for sessions at shutdown": f"`-shutdownTimeout`, {s(DEFAULT.shutdown_timeout)}",
    "rules": f"{RULES_LIMIT:,}",
    "counters of a rule": f"{COUNTERS_KEPT:,}",
    "`skip`": f"{MOST:,}",
    "`delay`": s(LONGEST_DELAY),
    "`name`": "100 characters",
    "part of a body that is searched": kib(_HEAD_SEARCHED),
    "encoded `Subject`": f"{_LONGEST_DECODED:,} characters",
    "request line and headers": kib(HEAD_LIMIT),
    "request body": mib(BODY_LIMIT),
    "time from a request's first byte": s(REQUEST_TIMEOUT),
    "idle connection": s(IDLE_TIMEOUT),
    "`count`": f"{MOST_AWAITED:,}",
    "`timeout`": f"{s(LONGEST_WAIT)}, by default {s(USUAL_WAIT)}",
    "names in a form": f"{_MOST_NAMES}; {kib(_LONGEST_PAIR)}",
    "mails in a list": f"{USUAL_LIMIT}",
    "time to deliver the last responses": s(_LAST_PATIENCE),
    "parts; nesting": f"{MOST_PARTS:,}; {DEEPEST_PART}",
    "header fields of a mail": f"{MOST_FIELDS:,}; {MOST_FIELDS // 100}",
    "header field": kib(LONGEST_FIELD),
    "header field that lists addresses": f"{mib(LONGEST_LIST)}; {MOST_MAILBOXES:,}",
    "MIME header field": kib(LONGEST_MIME_FIELD),
    "snippet": f"{SNIPPET_LENGTH} characters",
    "text kept for searching": f"{KEPT_TEXT // KIB} Ki characters; {mib(ROOM)}",
    "log lines": mib(BACKLOG_LIMIT),
    "wait for that reader": f"{s(_PATIENCE)}; {s(LAST_PATIENCE)}",
    "messages that the reader of a named pipe": mib(WAITING_LIMIT),
    "messages in the report": f"{pytest_plugin.MESSAGES_SHOWN}; {pytest_plugin.LINES_SHOWN}",
    "time that `-ready` waits": s(LIMIT),
}
"""The value of each row, by how its name begins, or ends."""


def rows() -> Iterator[tuple[str, str]]:
    """The first two cells of each row."""
    for line in re.findall(r"^\| (?!limit |---)(.*) \|$", PAGE, re.MULTILINE):
        name, value, beyond = line.split(" | ")
        assert beyond
        yield name, value


def test_each_row_is_as_the_program_has_it() -> None:
    found = {}
    for name, value in rows():
        known = max((key for key in LIMITS if name.startswith(key) or name.endswith(key)), key=len, default=name)
        assert known not in found, f"{name} appears twice"
        found[known] = value
    assert found == LIMITS


def test_a_rules_numbers_and_its_name_are_held_to_that() -> None:
    (numbers,) = (name for name, _ in rows() if name.startswith("`skip`"))
    for key in re.findall("`(.*?)`", numbers):
        assert refuses(key, MOST + 1), key
        assert not refuses(key, MOST), key
    assert refuses("name", "x" * 101)
    assert not refuses("name", "x" * 100)


def refuses(key: str, value: object) -> bool:
    check, _, _ = KEYS[key]
    return check(value) is None


def test_what_the_text_says_of_selectors_is_so_too() -> None:
    for text in (
        f"takes {select_limit.WINDOWS_SOCKETS} of them; {select_limit.WINDOWS_SOCKETS - WINDOWS} are reserved",
        f"descriptors have to be below {select_limit.POSIX_DESCRIPTORS:,}",
    ):
        assert text in PAGE
    assert f"on Windows, that is {WINDOWS} connections" in (ROOT / "README.md").read_text("utf-8")


IS_LIMIT = re.compile(r"(?:.*_)?(?:LIMIT|LONGEST|MOST|DEEPEST|TIMEOUT|WAIT|KEPT|MAX|ROOM)(?:_.*)?").fullmatch


@pytest.mark.parametrize("module", MODULES)
def test_no_limit_is_missing(module: str) -> None:
    """Public constants whose name says so are imported here, because the page has to name them."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    names = {target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()}
    limits = {name for name in names if not name.startswith("_") and IS_LIMIT(name)}
    assert limits - set(globals()) == set()
