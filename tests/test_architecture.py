"""The house rules that a machine can hold: who may import whom, what a start imports, what is public."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import smtpmock_cli
from tests.certificates import Certificate
from tests.helpers import PATIENCE, ROOT, TRANSACTION, Daemon

PACKAGE = ROOT / "smtpmock_cli"
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))

# From the roof to the ground; what stands in one row may know the rows below it, and its own.
LAYERS = (
    ("__main__",),
    ("cli", "flags"),
    ("__init__",),
    ("pytest_plugin",),
    ("server", "ready"),
    ("control/site",),
    ("control/openapi",),
    ("control/openapi_mailpit", "control/openapi_rules"),
    ("control/api", "control/mailpit", "control/http"),
    ("control/listing", "control/summaries"),
    ("control/summary", "control/sandbox", "control/json_pieces"),
    ("control/selection",),
    ("control/mail", "control/search"),
    ("control/addresses", "control/content", "control/entity", "control/gate"),
    ("control/routes", "control/text", "control/target", "control/steps"),
    ("control/__init__", "control/exchange", "control/schema"),
    ("sessions",),
    ("net/smtp",),
    ("net/tls",),
    ("net/connection", "net/listener", "net/signals"),
    ("net/__init__", "net/loop", "net/address", "net/console"),
    ("net/select_limit",),
    ("smtp/esmtp",),
    ("smtp/security",),
    ("smtp/auth", "smtp/chunks"),
    ("smtp/session",),
    ("smtp/rules",),
    ("smtp/selection",),
    ("smtp/dialogue", "smtp/decision"),
    ("smtp/commands", "smtp/extensions", "smtp/status_codes", "smtp/counters", "smtp/index", "smtp/contents"),
    ("smtp/table",),
    ("smtp/path", "smtp/body"),
    ("smtp/__init__", "smtp/grammar", "smtp/events", "smtp/transaction", "smtp/occasion", "smtp/concealment"),
    ("smtp/chance", "smtp/globs", "smtp/grams"),
    ("deliveries",),
    ("store", "messages_file", "port_file", "rules_file"),
    ("configuration", "message", "log"),
    ("settings", "log_sink"),
    ("rule",),
    ("errors", "version", "startup"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# What a pure module may use of the standard library.
PURE = {
    "__future__",
    "binascii",
    "bisect",
    "collections",
    "email",
    "enum",
    "fnmatch",
    "functools",
    "hmac",
    "ipaddress",
    "operator",
    "random",
    "re",
    "typing",
}

# The modules of the standard library that a start may import besides those of the interpreter and Click.
START_BUDGET = {"_heapq", "_socket", "array", "gc", "heapq", "math", "select", "selectors", "signal", "socket"}
START_BUDGET |= {"resource"}  # raises the limit of descriptors, once a client may have been greeted
START_BUDGET |= {"importlib._abc", "importlib.util", "runpy"}  # the interpreter's way to run a module
NEVER_AT_START = {"ssl", "h11", "email", "json", "logging", "asyncio", "dataclasses", "ipaddress", "tomllib", "http"}
NEVER_AT_START |= {"inspect", "ast", "tokenize", "uuid", "platform", "datetime", "gettext", "threading", "typing"}


def imports(module: str) -> set[str]:
    """Absolute names, and the package's own as paths below it; those for types only do not count."""
    path = PACKAGE / f"{module}.py"
    found: set[str] = set()
    for node in run_time_nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= resolved(path, node)
    return found


def run_time_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes = []
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            nodes += [node, *run_time_nodes(node)]
    return nodes


def resolved(path: Path, node: ast.ImportFrom) -> set[str]:
    name = node.module or ""
    if not node.level and not name.startswith("smtpmock_cli"):
        return {name}
    folder = PACKAGE if not node.level else path.parents[node.level - 1]
    target = folder.joinpath(*name.removeprefix("smtpmock_cli").strip(".").split("."))
    if target.is_dir():
        inner = [target / alias.name for alias in node.names]
        paths = [item if item.with_suffix(".py").exists() else target / "__init__" for item in inner]
    else:
        paths = [target]
    return {item.relative_to(PACKAGE).as_posix() for item in paths}


def test_every_module_has_its_level() -> None:
    assert sorted(LEVEL) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_down_only(module: str) -> None:
    up = {name for name in imports(module) if name in LEVEL and LEVEL[name] < LEVEL[module]}
    assert up == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("smtp/")])
def test_the_session_is_pure(module: str) -> None:
    outside = {name.split(".")[0] for name in imports(module) if name not in LEVEL}
    assert outside <= PURE


@pytest.mark.parametrize("module", MODULES)
def test_functions_stay_small(module: str) -> None:
    nodes = ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8")))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    sizes = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: size for name, size in sizes.items() if size > 40} == {}


def imported(stderr: bytes) -> set[str]:
    """The modules that ``-X importtime`` tells of."""
    return set(re.findall(r"^import time:.*\| +(\S+)$", stderr.decode(), re.MULTILINE))


@pytest.mark.parametrize("variables", [{}, {"SMTPMOCK_FAIL_FAST": "true", "SMTPMOCK_SEED": "1"}], ids=["", "variables"])
def test_a_start_imports_what_it_uses_and_no_more(variables: dict[str, str]) -> None:
    """From the spawn to the end, with a transaction between."""
    telling = (sys.executable, "-X", "importtime")
    with Daemon(program=(*telling, "-m", "smtpmock_cli"), env=os.environ | variables) as running:
        running.wait_until_listening()
        with running.client() as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()
        running.signal(signal.SIGTERM)
        started = imported(running.process.communicate(timeout=PATIENCE)[1])
    click_alone = subprocess.run([*telling, "-c", "import click"], capture_output=True, timeout=PATIENCE, check=True)
    assert "smtpmock_cli.server" in started
    assert started.isdisjoint(NEVER_AT_START)
    ours = {name for name in started if name.startswith("smtpmock_cli")}
    assert ours >= {"smtpmock_cli.net.smtp"}
    files = ("messages_file", "port_file", "rules_file")
    unused = {f"smtpmock_cli.{name}" for name in ("deliveries", "store", "rule", *files)}
    unused |= {
        f"smtpmock_cli.smtp.{name}"
        for name in ("rules", "decision", "globs", "esmtp", "extensions", "path", "chunks", "auth")
    }
    assert ours.isdisjoint(unused)
    assert started - ours - imported(click_alone.stderr) <= START_BUDGET


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (["-esmtp"], set()),
        (["-extensions=CHUNKING,DSN", "-authUsers=joe:secret"], set()),
        (["-tlsCert=CERT", "-tlsMode=required"], {"ssl"}),
        (["-rules=RULES"], {"tomllib", "typing", "datetime"}),
    ],
)
def test_a_start_with_extensions_imports_what_it_uses_too(
    flags: list[str], allowed: set[str], certificate: Certificate, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[[rule]]\non = 'rcpt'\ndelay = 1\n")
    given = [flag.replace("CERT", certificate.both).replace("RULES", str(rules)) for flag in flags]
    with Daemon(*given, program=(sys.executable, "-X", "importtime", "-m", "smtpmock_cli")) as running:
        running.wait_until_listening()
        running.signal(signal.SIGTERM)
        started = imported(running.process.communicate(timeout=PATIENCE)[1])
    assert started & NEVER_AT_START <= allowed
    for_thousands_of_rules = {f"smtpmock_cli.smtp.{name}" for name in ("contents", "grams", "index", "selection")}
    assert started.isdisjoint(for_thousands_of_rules)


def test_the_http_api_is_imported_by_its_first_request() -> None:
    """Its libraries take as long as a whole start."""
    with Daemon("-httpPort=0", program=(sys.executable, "-X", "importtime", "-m", "smtpmock_cli")) as running:
        running.wait_until_listening()
        with running.client() as client:
            client.send(TRANSACTION + b"QUIT\r\n")
            client.rest()
        running.signal(signal.SIGTERM)
        started = imported(running.process.communicate(timeout=PATIENCE)[1])
    assert started.isdisjoint(NEVER_AT_START)
    assert {name for name in started if name.startswith("smtpmock_cli.control")} == set()


@pytest.mark.parametrize(
    ("flags", "allowed"), [([], set()), (["-tlsCert=CERT", "-tlsMode=implicit"], {"ssl"}), (["-portFile=/"], set())]
)
def test_who_asks_whether_a_server_is_ready_imports_no_server(
    flags: list[str], allowed: set[str], certificate: Certificate
) -> None:
    given = [flag.replace("CERT", certificate.both) for flag in flags]
    command = [sys.executable, "-X", "importtime", "-m", "smtpmock_cli", "-ready", *given]
    with Daemon(*given) as running:
        running.wait_until_listening()
        done = subprocess.run(
            [*command, f"-port={0 if '-portFile=/' in flags else running.port}"], capture_output=True, timeout=PATIENCE
        )
    assert done.returncode == (1 if "-portFile=/" in flags else 0)
    asked = imported(done.stderr)
    assert asked & NEVER_AT_START == allowed
    named = (
        "cli",
        "configuration",
        "errors",
        "flags",
        "net",
        "net.address",
        "port_file",
        "ready",
        "settings",
        "startup",
    )
    ours = {name.removeprefix("smtpmock_cli.") for name in asked if name.startswith("smtpmock_cli.")}
    assert ours == {*named}


def test_public_names() -> None:
    assert sorted(smtpmock_cli.__all__) == [
        "Configuration",
        "ConfigurationError",
        "Message",
        "Rule",
        "Server",
        "ServerStartError",
        "ServerStateError",
        "SmtpMockError",
        "WaitTimeoutError",
    ]
    public = {name for name in vars(smtpmock_cli.Server) if not name.startswith("_")}
    assert public == {
        "http_port_number",
        "messages",
        "messages_and_purge",
        "port_number",
        "reconfigure",
        "serve",
        "start",
        "stop",
        "tls_authority",
        "wait_for_messages",
        "wait_for_messages_and_purge",
    }
    assert all((getattr(smtpmock_cli, name).__doc__ or "").strip() for name in smtpmock_cli.__all__)
