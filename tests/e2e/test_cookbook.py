"""Each recipe of the README's "Mimic any server" does to a real client what it says."""

from __future__ import annotations

import re
import smtplib
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server
from smtpmock_cli.rule import KEYS
from tests.e2e import tools
from tests.e2e.clients import HOST, NAME, found, run
from tests.helpers import PATIENCE, ROOT

SECTION = (ROOT / "README.md").read_text("utf-8").split("## Mimic any server")[1].split("\n## ")[0]
RECIPES = {
    re.split(r"[:.,]", text)[0].removeprefix("# "): text
    for text in re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
}
MAIL = "Subject: hi\r\n\r\n" + "Hello, and some more.\r\n" * 20


@contextmanager
def cooked(recipe: str) -> Iterator[Server]:
    settings = Configuration(rules=tomllib.loads(RECIPES[recipe])["rule"], multiple_rcptto=True)
    with Server(settings) as server:
        yield server


def send(server: Server, *recipients: str, sender: str = "a@example.com") -> None:
    with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as client:
        client.sendmail(sender, recipients or ["b@example.com"], MAIL)


def tries(server: Server, *recipients: str, sender: str = "a@example.com") -> int:
    """How many tries a client needs that has patience."""
    for number in range(1, 10):
        try:
            send(server, *recipients, sender=sender)
        except (smtplib.SMTPException, ConnectionError):
            continue
        return number
    pytest.fail("not accepted in 9 tries")


def accepted(server: Server) -> int:
    return sum(message.is_consistent for message in server.messages())


def test_full_mailbox() -> None:
    with cooked("Full mailbox") as server:
        with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as client:
            refused = client.sendmail("a@example.com", ["b@full.example", "c@example.com"], MAIL)
        assert refused == {"b@full.example": (452, b"4.2.2 Mailbox full")}
        assert [message.forward_paths for message in server.messages()] == [["c@example.com"]]


def test_the_first_try_fails() -> None:
    with cooked("The first try fails") as server:
        assert [tries(server), tries(server)] == [2, 1]


def test_greylisting() -> None:
    with cooked("Greylisting") as server:
        assert tries(server, "b@example.com") == 2
        assert tries(server, "b@example.com") == 1
        assert tries(server, "c@example.com") == 2
        assert tries(server, "b@example.com", sender="z@example.com") == 2
        assert accepted(server) == 4


def test_rate_limit() -> None:
    with cooked("Rate limit") as server:
        send(server)
        send(server)
        with pytest.raises(smtplib.SMTPSenderRefused, match=r"421.*Too many messages"):
            send(server)
        assert accepted(server) == 2


def test_blackhole() -> None:
    with cooked("Blackhole") as server, pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        smtplib.SMTP(HOST, server.port_number, NAME, timeout=0.5)


def test_flaky_server() -> None:
    with cooked("Flaky server") as server:
        assert [tries(server) for _ in range(4)] == [1, 2, 2, 2]
        assert [message.msg for message in server.messages()] == [True, False] * 3 + [True]


def test_tarpit() -> None:
    with cooked("Tarpit") as server:
        begun = time.monotonic()
        send(server)
        replies = "220 Welcome\r\n250 Received\r\n221 Closing connection\r\n"
        assert time.monotonic() - begun > 7 * 0.1 + len(replies) / 200


def test_the_connection_drops_in_the_middle_of_a_message() -> None:
    with cooked("The connection drops in the middle of the first message") as server:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            send(server)
        send(server)
        assert [message.data and not message.msg for message in server.messages()] == [True, False]


@pytest.mark.parametrize(("recipe", "attempts"), [("The first try fails", 6), ("Greylisting", 10), ("Flaky server", 6)])
def test_a_pool_of_nodemailer_gets_through(recipe: str, attempts: int) -> None:
    """Five mails over its two connections; it says how often it had to try."""
    script = str(Path(__file__).with_name("nodemailer_pool.cjs"))
    nodemailer = found(tools.node_with_nodemailer)
    with cooked(recipe) as server:
        said = run(nodemailer, script, str(server.port_number), "5", "9")
    assert re.fullmatch(r"exit 0\n\d+\n", said), said
    assert int(said.split()[-1]) >= attempts


def test_every_recipe_is_tried_and_every_key_explained() -> None:
    tried = set(re.findall(r'cooked\("([^"]+)"\) as', Path(__file__).read_text("utf-8")))
    assert tried == RECIPES.keys()
    explained = re.findall(
        r"`(\w+)`", " ".join(row.split("|")[1] for row in SECTION.splitlines() if row.startswith("| `"))
    )
    assert sorted(explained) == sorted(KEYS)
