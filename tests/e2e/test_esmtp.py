"""ESMTP with clients that people use: what is offered is used, and what it refuses is seen."""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpmock_cli import Configuration, Server
from tests import unix
from tests.helpers import PATIENCE

from . import tools
from .clients import CLIENTS, HOST, NAME, Client, Sending, curl, found, nodemailer, swaks_pipelining
from .mail import MAIL_BYTES, RECIPIENTS, SENDER, check_contents, parsed
from .test_clients import check_message, each_client
from .tools import Tool

CHUNKING = ("SIZE", "8BITMIME", "PIPELINING", "CHUNKING")


@each_client
def test_mail_arrives_as_it_was_sent(client: Client, tmp_path: Path) -> None:
    with Server(Configuration(esmtp=True, multiple_rcptto=True)) as server:
        said = client.send(Sending(server.port_number, RECIPIENTS, tmp_path))
        assert said.startswith("exit 0"), said
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert message.helo_response.count("\r\n") == 5
    check_message(message, RECIPIENTS)


@pytest.mark.parametrize("client", ["smtplib sendmail", "curl"])
def test_the_size_is_refused_before_the_mail_is_sent(client: str, tmp_path: Path) -> None:
    with Server(Configuration(esmtp=True, msg_size_limit=100)) as server:
        said = CLIENTS[client].send(Sending(server.port_number, RECIPIENTS[:1], tmp_path))
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert re.match(r"exit 1\nSMTPSenderRefused\(552, b'5.3.4 |exit 55\n.*MAIL failed: 552", said, re.DOTALL), said
    assert not message.data


def test_international_addresses_of_smtplib() -> None:
    sender, recipient = "zoë@example.com", "用户@例子.广告"
    options = ["SMTPUTF8", "BODY=8BITMIME"]
    with Server(Configuration(esmtp=True)) as server, smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as smtp:
        smtp.ehlo()
        assert smtp.sendmail(sender, recipient, MAIL_BYTES, mail_options=options) == {}
        smtp.quit()
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert (message.reverse_path, message.forward_paths) == (sender, [recipient])
    assert message.mailfrom_parameters == {"SMTPUTF8": "", "BODY": "8BITMIME", "SIZE": str(len(MAIL_BYTES))}
    assert b" with UTF8SMTP id " in message.as_mail()


def test_smtplib_sends_several_messages_without_rset() -> None:
    with Server(Configuration(esmtp=True, multiple_message_receiving=True)) as server:
        with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as smtp:
            for number in range(3):
                assert smtp.sendmail(f"{number}@example.com", RECIPIENTS[0], MAIL_BYTES) == {}
        messages = server.wait_for_messages(3, PATIENCE)
    assert [message.reverse_path for message in messages] == [f"{number}@example.com" for number in range(3)]
    assert all(message.is_consistent and not message.rset for message in messages)


@pytest.mark.parametrize("send", [swaks_pipelining, nodemailer, curl])
def test_clients_without_what_they_like_to_use(send: object, tmp_path: Path) -> None:
    with Server(Configuration(extensions=["X-NOTHING"])) as server:
        said = send(Sending(server.port_number, RECIPIENTS[:1], tmp_path))  # type: ignore[operator]
        assert said.startswith("exit 0"), said
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert message.mailfrom_parameters == {}
    check_message(message, RECIPIENTS[:1])


EXIM = """
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_path = {program}
primary_hostname = client.example.com
keep_environment = ^LD_ : ^NSS_WRAPPER_
begin routers
mock:
  driver = manualroute
  transport = mock
  route_list = * 127.0.0.1
  self = send
begin transports
mock:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_try_chunking = *
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that nobody may enter too, as which Exim delivers if it is started by root."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        made = Path(name)
        (made / "spool").mkdir()
        if unix.os.geteuid() == 0:
            for path in (made, made / "spool"):
                unix.os.chown(path, 65534, 65534)
        yield made


def send_by_exim(folder: Path, port: int, mail: bytes) -> None:
    tool = copied(found(tools.exim), folder)
    configuration = folder / "exim.conf"
    configuration.write_text(EXIM.format(folder=folder, port=port, program=tool.argv[0]))
    configuration.chmod(0o644)
    command = [*tool.argv, "-C", str(configuration), "-i", "-odf", "-f", SENDER, *RECIPIENTS]
    done = subprocess.run(command, env=tool.env, input=mail, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    log = (folder / "mainlog").read_text()
    assert re.search(r"=> .* K .*Completed", log, re.DOTALL), log  # K stands for CHUNKING


def copied(tool: Tool, folder: Path) -> Tool:
    """Exim where nobody can reach it too."""
    tree, copy = Path(tool.argv[0]).parents[2], folder / "exim"
    shutil.copytree(tree, copy, symlinks=True)
    moved = {name: value.replace(str(tree), str(copy)) for name, value in tool.env.items()}
    return Tool([str(copy / Path(tool.argv[0]).relative_to(tree))], moved)


def test_exim_sends_by_bdat(folder: Path) -> None:
    mail = MAIL_BYTES + b".\r\n..\r\n" + b"a line behind the last part\r\n" * 3000
    with Server(Configuration(extensions=CHUNKING, multiple_rcptto=True)) as server:
        send_by_exim(folder, server.port_number, mail)
        (message,) = server.wait_for_messages(1, PATIENCE)
    assert message.is_consistent
    assert message.data_request.startswith("BDAT ")
    assert message.chunks > 1
    assert message.forward_paths == RECIPIENTS
    # Exim adds to the header, and to nothing else.
    assert message.msg_request.partition(b"\r\n\r\n")[2] == mail.partition(b"\r\n\r\n")[2]
    check_contents(parsed(message.msg_request))
