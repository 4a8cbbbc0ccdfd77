"""Each example of the README that meets the HTTP API does what it says, in its language; each command line is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.control.openapi import document
from tests.control.web import port, send_mail
from tests.e2e import tools
from tests.e2e.tools import Tool, ToolMissing
from tests.helpers import PATIENCE, ROOT, Client, configuration

README = (ROOT / "README.md").read_text("utf-8")
SECTION = README.split("## From any language")[1].split("\n## ")[0]
CURL_LINES = re.findall(r"^curl .*:8025/.*", README, re.MULTILINE)
COMMAND_LINES = re.findall(r"^script/run (.*)", README, re.MULTILINE)


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Configuration(http_port=0, tls_self_signed=True)) as running:
        send_mail(running)
        yield running


def run(found: Callable[[], Tool], server: Server, code: str, *options: str) -> str:
    """What the example prints, against the server's own port."""
    try:
        tool = found()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    here = code.replace(":8025/", f":{port(server)}/")
    done = subprocess.run(
        [*tool.argv, *options, here], env=tool.env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("line", CURL_LINES)
def test_curl(server: Server, line: str) -> None:
    def shell() -> Tool:
        return tools.curl()._replace(argv=["sh"])

    assert run(shell, server, line.replace("curl ", "curl -sS --fail ", 1), "-c") != ""


def test_ruby(server: Server) -> None:
    assert run(tools.ruby_with_net_smtp, server, example("ruby"), "-e") == "Subject: hi\n\nHello.\n"


def test_node(server: Server) -> None:
    def node() -> Tool:
        found = shutil.which("node")
        if found is None:
            raise ToolMissing("node is missing: install it (Debian: apt-get install nodejs)")
        return Tool([found], dict(os.environ))

    printed = run(node, server, example("js"), "--input-type=module", "-e")
    assert printed == "[ 'b@example.com' ] Subject: hi\n\nHello.\n\n"


def test_python(server: Server) -> None:
    printed = run(lambda: Tool([sys.executable, "-W", "error"], {}), server, example("py"), "-c")
    assert "Hello." in printed


def test_there_is_a_line_for_each_of_our_endpoints() -> None:
    ours = {path for path in document()["paths"] if not path.startswith(("/api/", "/view/"))}
    shown = {re.sub(r"/1\b", "/{id}", re.sub(r"\?.*", "", path)) for path in re.findall(r":8025(/[^\s']+)", README)}
    assert ours <= shown


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text("[[rule]]\non = 'any'\ndelay = 0.001\n")
    words = [word for word in line.split() if not word.startswith(("-port=", "-httpPort="))]
    with Server(configuration(words)) as server, Client(server.port_number) as client:
        assert client.ask(b"NOOP\r\n")[:3] == "250"
