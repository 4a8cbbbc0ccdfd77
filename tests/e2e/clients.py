"""How each client is made to send the mail, and how it tells that the server refused.

What a client says is what its user sees, so it is compared as text: the exit code, then its output.
"""

from __future__ import annotations

import json
import smtplib
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers import PATIENCE

from . import tools
from .mail import MAIL, MAIL_BYTES, SENDER
from .tools import Tool, ToolMissing

HOST, NAME = "127.0.0.1", "example.com"
HERE = Path(__file__).parent


class Sending(NamedTuple):
    """One mail to send: to which server, to whom, and a folder for the client's files."""

    port: int
    recipients: Sequence[str]
    folder: Path

    def file(self, content: bytes = MAIL_BYTES) -> str:
        path = self.folder / "mail.eml"
        path.write_bytes(content)
        return str(path)


class Client(NamedTuple):
    """``send`` returns what the client said: ``exit N`` and more; the others are patterns of that."""

    send: Callable[[Sending], str]
    recipient_refused: str
    too_big: str


def found(find: Callable[[], Tool]) -> Tool:
    """The tool; the test is skipped where there is none."""
    tool = _found(find)
    if isinstance(tool, ToolMissing):
        pytest.skip(str(tool))
    return tool


@cache
def _found(find: Callable[[], Tool]) -> Tool | ToolMissing:
    # A miss is remembered too: each search for it on the network may take its time.
    try:
        return find()
    except ToolMissing as missing:
        return missing


def run(tool: Tool, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        [*tool.argv, *arguments],
        env=tool.env,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )
    return f"exit {done.returncode}\n{done.stdout.decode(errors='replace')}"


def smtplib_sendmail(sending: Sending) -> str:
    return with_smtplib(sending, lambda smtp: smtp.sendmail(SENDER, sending.recipients, MAIL_BYTES))


def smtplib_send_message(sending: Sending) -> str:
    return with_smtplib(sending, lambda smtp: smtp.send_message(MAIL, SENDER, sending.recipients))


def with_smtplib(sending: Sending, send: Callable[[smtplib.SMTP], object]) -> str:
    try:
        with smtplib.SMTP(HOST, sending.port, NAME, PATIENCE) as smtp:
            refused = send(smtp)
    except smtplib.SMTPException as error:
        return f"exit 1\n{error!r}"
    return f"exit 0\n{refused}"


def curl(sending: Sending, *options: str, scheme: str = "smtp") -> str:
    return run(
        found(tools.curl),
        *("--disable", "--noproxy", "*", "--silent", "--show-error"),
        f"{scheme}://{HOST}:{sending.port}/{NAME}",
        *("--mail-from", SENDER, "--upload-file", sending.file()),
        *(word for recipient in sending.recipients for word in ("--mail-rcpt", recipient)),
        *options,
    )


def swaks_as_it_is(sending: Sending) -> str:
    """Untouched data, which is then the caller's to stuff and to end."""
    stuffed = MAIL_BYTES.replace(b"\n.", b"\n..") + b"."
    return swaks(sending, "--no-data-fixup", "--data", f"@{sending.file(stuffed)}")


def swaks_with_fix_up(sending: Sending) -> str:
    """Data that swaks stuffs and ends, the last line's end included."""
    return swaks(sending, "--data", "-", stdin=MAIL_BYTES.removesuffix(b"\r\n"))


def swaks_pipelining(sending: Sending) -> str:
    """Commands in one go, where the server offers it."""
    return swaks(sending, "--pipeline", "--data", "-", stdin=MAIL_BYTES.removesuffix(b"\r\n"))


def swaks_secured(sending: Sending, *options: str) -> str:
    """Over TLS, or with AUTH, as the options say."""
    data, find = ("--data", "-"), tools.swaks_with_tls
    return swaks(sending, *data, *options, stdin=MAIL_BYTES.removesuffix(b"\r\n"), find=find)


def swaks(sending: Sending, *data: str, stdin: bytes = b"", find: Callable[[], Tool] = tools.swaks) -> str:
    quiet = ("--config", "", "--suppress-data")
    server = ("--server", HOST, "--port", str(sending.port), "--ehlo", NAME)
    envelope = ("--from", SENDER, "--to", ",".join(sending.recipients))
    return run(found(find), *quiet, *server, *envelope, *data, stdin=stdin)


def nodemailer(sending: Sending, **options: object) -> str:
    """With options of its transport."""
    tool = found(tools.node_with_nodemailer)
    return script(tool._replace(env={**tool.env, "TRANSPORT": json.dumps(options)}), "nodemailer.cjs", sending)


def ruby_net_smtp(sending: Sending) -> str:
    return script(found(tools.ruby_with_net_smtp), "net_smtp.rb", sending)


def script(tool: Tool, name: str, sending: Sending) -> str:
    return run(tool, str(HERE / name), str(sending.port), sending.file(), SENDER, *sending.recipients)


SMTPLIB = (r"exit 1\nSMTPRecipientsRefused.*550, b'User not found'", r"exit 1\nSMTPDataError\(552, ")
# Of a refused body curl says no more than this.
CURL = (r"exit 55\n.*RCPT failed: 550", r"exit 8\n.*Weird server reply")
SWAKS = (r"exit 24\n.*\n<\*\* 550 User not found", r"exit 26\n.*\n<\*\* 552 Message exceeded")
NODEMAILER = (r"exit 1\nEENVELOPE 550 550 User not found", r"exit 1\nEMESSAGE 552 552 Message exceeded")
RUBY = (r"exit 1\nNet::SMTPFatalError 550 User not found", r"exit 1\nNet::SMTPFatalError 552 Message")

CLIENTS = {
    "smtplib sendmail": Client(smtplib_sendmail, *SMTPLIB),
    "smtplib send_message": Client(smtplib_send_message, *SMTPLIB),
    "curl": Client(curl, *CURL),
    "swaks, data as it is": Client(swaks_as_it_is, *SWAKS),
    "swaks, data fixed up": Client(swaks_with_fix_up, *SWAKS),
    "swaks, pipelining": Client(swaks_pipelining, *SWAKS),
    "nodemailer": Client(nodemailer, *NODEMAILER),
    "ruby net/smtp": Client(ruby_net_smtp, *RUBY),
}
