"""Clients that exist for Mailpit, as they come from their registries: they read and delete what arrived here."""

from __future__ import annotations

import base64
import copy
import email.message
import json
import smtplib
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mailpit.client.api import API  # type: ignore[import-untyped]
from mailpit.client.models import Attachment, Contact  # type: ignore[import-untyped]
from mailpit.testing.unittest import EMailTestCase  # type: ignore[import-untyped]

from smtpmock_cli import Configuration, Server
from tests.helpers import PATIENCE

from . import tools
from .clients import HOST, NAME, found
from .mail import ATTACHMENT, HTML, MAIL, RECIPIENTS, SENDER, SUBJECT, TEXT

BLIND = "blind@example.net"
DATE = "Wed, 07 Sep 2016 16:46:00 +1300"
HERE = Path(__file__).parent


def mail(number: int) -> email.message.EmailMessage:
    made = copy.deepcopy(MAIL)
    made["Date"], made["Message-ID"] = DATE, f"<{number}@{NAME}>"
    # Not by Mailpit either: its Python client reads the headers only of mails that have this one.
    made["Delivered-To"] = RECIPIENTS[0]
    return made


def send(server: Server, number: int) -> None:
    """A mail with a recipient whom it does not name; stored once this returns."""
    with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as smtp:
        smtp.send_message(mail(number), SENDER, [*RECIPIENTS, BLIND])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """With two mails, and one that was refused."""
    monkeypatch.setenv("NO_PROXY", "*")
    settings = Configuration(http_port=0, multiple_rcptto=True, blacklisted_mailfrom_emails=["refused@example.com"])
    with Server(settings) as running:
        send(running, 1)
        send(running, 2)
        with smtplib.SMTP(HOST, running.port_number, NAME, PATIENCE) as smtp, pytest.raises(smtplib.SMTPSenderRefused):
            smtp.sendmail("refused@example.com", RECIPIENTS, "x")
        yield running


def url(server: Server) -> str:
    return f"http://{HOST}:{server.http_port_number}"


def kept(server: Server) -> list[str]:
    return [str(message.id) for message in server.messages() if message.is_consistent]


@pytest.fixture
def api(server: Server) -> API:
    """PyPI's mailpit-api-client."""
    return API(url(server), timeout=PATIENCE)


def contacts(*addresses: str) -> list[Contact]:
    return [Contact("", address) for address in addresses]


def test_python_lists(api: API) -> None:
    listed = api.get_messages()
    assert (listed.total, listed.unread, listed.count, listed.start) == (2, 2, 2, 0)
    assert [message.id for message in listed.messages] == ["2", "1"]
    assert [message.id for message in api.get_messages(limit=1, start=1).messages] == ["1"]
    newest = listed.messages[0]
    assert (newest.message_id, newest.read, newest.subject, newest.attachments) == (f"2@{NAME}", False, SUBJECT, 1)
    assert [newest.from_] == contacts(SENDER)
    assert (newest.to, newest.cc, newest.bcc) == (contacts(*RECIPIENTS), [], contacts(BLIND))
    assert isinstance(newest.created, datetime)
    assert newest.created.utcoffset() is not None


def test_python_reads_a_message(api: API, server: Server) -> None:
    message = api.get_message("2")
    assert (message.id, message.message_id, message.read, message.subject) == ("2", f"2@{NAME}", True, SUBJECT)
    assert [message.from_] == contacts(SENDER)
    assert (message.to, message.cc, message.bcc) == (contacts(*RECIPIENTS), [], contacts(BLIND))
    assert message.date == datetime.fromisoformat("2016-09-07T16:46:00+13:00")
    assert [text.replace("\r\n", "\n") for text in (message.text, message.html)] == [TEXT, HTML]
    assert message.size == len(server.messages()[1].as_mail())
    assert message.inline == []
    assert message.attachments == [Attachment("2", "bytes.bin", "application/octet-stream", "", len(ATTACHMENT))]
    assert message == api.get_message("2")
    assert message != api.get_message("1")
    assert api.get_messages().unread == 0


def test_python_reads_an_attachment(api: API) -> None:
    api.get_message_attachment("2", api.get_message("2").attachments[0].part_id)
    assert api.last_response.content == ATTACHMENT


def test_python_reads_headers(api: API) -> None:
    headers = api.get_message_headers("1")
    assert (headers.from_, headers.message_id, headers.delivered_to) == ([SENDER], [f"<1@{NAME}>"], [RECIPIENTS[0]])
    assert headers.date == [datetime.fromisoformat("2016-09-07T16:46:00+13:00")]
    assert headers.content_type[0].startswith("multipart/mixed")
    assert headers.additional["Mime-Version"] == ["1.0"]
    assert headers.additional["Return-Path"] == [f"<{SENDER}>"]


def test_python_marks_as_read(api: API) -> None:
    api.put_messages(["1"], "Read", True)
    assert {message.id: message.read for message in api.get_messages().messages} == {"1": True, "2": False}


def test_python_deletes_some_then_all(api: API, server: Server) -> None:
    api.delete_messages(["1"])
    assert kept(server) == ["2"]
    send(server, 4)
    api.delete_messages([])
    assert kept(server) == []
    assert api.get_messages().messages == []


def test_python_test_case(api: API) -> None:
    case = EMailTestCase()
    case.mailpit_api = api
    case.assertMessageReceived(f"1@{NAME}")
    with pytest.raises(AssertionError):
        case.assertMessageReceived(f"3@{NAME}")


class Node:
    """npm's mailpit-api in a process; a call that it throws at is an AssertionError."""

    def __init__(self, base_url: str) -> None:
        tool = found(tools.node_with_mailpit_api)
        command = [*tool.argv, str(HERE / "mailpit_api.cjs"), base_url, str(int(3000 * PATIENCE))]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=tool.env, encoding="utf-8")

    def begin(self, method: str, *arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def call(self, method: str, *arguments: Any) -> Any:
        self.begin(method, *arguments)
        answer = self.end()
        assert "error" not in answer, answer
        return answer.get("result", answer)

    def error(self, method: str, *arguments: Any) -> str:
        self.begin(method, *arguments)
        text: str = self.end()["error"]
        return text

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def node(server: Server) -> Iterator[Node]:
    running = Node(url(server))
    yield running
    running.close()


def ids(listing: Any) -> list[str]:
    return [message["ID"] for message in listing["messages"]]


def people(*addresses: str) -> list[dict[str, str]]:
    return [{"Name": "", "Address": address} for address in addresses]


def test_node_lists_and_searches(node: Node) -> None:
    listed = node.call("listMessages")
    assert ids(listed) == ["2", "1"]
    numbers = [listed[name] for name in ("total", "unread", "count", "messages_count", "messages_unread", "start")]
    assert numbers == [2, 2, 2, 2, 2, 0]
    assert ids(node.call("listMessages", 1, 1)) == ["1"]
    assert ids(node.call("searchMessages", {"query": f"from:{SENDER} message-id:1@", "tz": "Asia/Tokyo"})) == ["1"]
    assert ids(
        node.call("searchMessages", {"query": 'subject:"GRÜSSE – 日本語" "the end"', "start": 1, "limit": 1})
    ) == ["1"]
    assert ids(node.call("searchMessages", {"query": f"to:{BLIND}"})) == []
    assert ids(node.call("searchMessages", {"query": f"bcc:{BLIND} has:attachment"})) == ["2", "1"]


def test_node_reads_the_latest_message(node: Node, server: Server) -> None:
    message = node.call("getMessageSummary")
    assert (message["ID"], message["MessageID"], message["Subject"]) == ("2", f"2@{NAME}", SUBJECT)
    assert (message["From"], message["ReturnPath"]) == (people(SENDER)[0], SENDER)
    assert (message["To"], message["Cc"], message["Bcc"]) == (people(*RECIPIENTS), [], people(BLIND))
    assert [message[name].replace("\r\n", "\n") for name in ("Text", "HTML")] == [TEXT, HTML]
    (attachment,) = message["Attachments"]
    content = node.call("getMessageAttachment", "latest", attachment["PartID"])
    assert (content["type"], base64.b64decode(content["base64"])) == ("application/octet-stream", ATTACHMENT)
    assert node.call("getMessageHeaders")["Delivered-To"] == [RECIPIENTS[0]]
    assert node.call("getMessageSource", "2").encode() == server.messages()[1].as_mail()
    assert node.call("renderMessageHTML").replace("\r\n", "\n") == HTML
    assert node.call("renderMessageHTML", "2", 1).replace("\r\n", "\n") == HTML
    assert node.call("renderMessageText", "1").replace("\r\n", "\n") == TEXT
    assert "404" in node.error("getMessageSummary", "3")


def test_node_waits(node: Node, server: Server) -> None:
    patiently = {"timeout": PATIENCE * 1000, "interval": 20}
    node.begin("waitForMessage", {"query": "message-id:4@"}, patiently)
    send(server, 4)
    assert node.end()["result"]["ID"] == "4"
    node.begin("waitForMessages", {"count": 4, "exact": True}, patiently)
    send(server, 5)
    assert ids(node.end()["result"]) == ["5", "4", "2", "1"]
    assert ids(node.call("waitForMessages", {"query": "message-id:1@"}, patiently)) == ["1"]
    assert "Timeout" in node.error("waitForMessage", {"query": "message-id:9@"}, {"timeout": 50, "interval": 20})


def test_node_marks_as_read(node: Node) -> None:
    assert node.call("setReadStatus", {"IDs": ["1"], "Read": True}) == "ok"
    assert ids(node.call("searchMessages", {"query": "is:unread"})) == ["2"]
    assert node.call("setReadStatus", {"Search": "message-id:2@", "Read": True}, {"tz": "Asia/Tokyo"}) == "ok"
    assert node.call("listMessages")["unread"] == 0
    assert node.call("setReadStatus") == "ok"
    assert node.call("listMessages")["unread"] == 2


def test_node_deletes(node: Node, server: Server) -> None:
    send(server, 4)
    assert node.call("deleteMessages", {"IDs": ["1"]}) == "ok"
    assert kept(server) == ["2", "4"]
    assert node.call("deleteMessagesBySearch", {"query": "message-id:4@"}) == "ok"
    assert kept(server) == ["2"]
    assert node.call("deleteMessages") == "ok"
    assert kept(server) == []
    information = node.call("getInfo")
    assert (information["Messages"], information["Unread"], information["Tags"]) == (0, 0, {})
    assert information["RuntimeStats"]["MessagesDeleted"] == 3
