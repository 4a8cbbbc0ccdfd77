"""ESMTP, TLS, AUTH and rules of the frozen program, which are in it and are loaded only where they are on."""

from __future__ import annotations

import smtplib
import ssl
import urllib.request
from pathlib import Path

import pytest

from tests.certificates import Certificate
from tests.helpers import ENVELOPE, PATIENCE, Daemon, free_port

from .processes import linux, listening

HOST = "127.0.0.1"
MAIL = "Subject: hi\r\n\r\nHello\r\n"


def loaded(running: Daemon) -> set[str]:
    """The names of the libraries in the process's memory."""
    lines = Path(f"/proc/{running.process.pid}/maps").read_text("utf-8").splitlines()
    return {Path(line.split()[-1]).name.partition(".")[0] for line in lines if "/" in line}


@pytest.mark.parametrize("mode", ["starttls", "required", "implicit"])
def test_tls_and_auth(program: Path, certificate: Certificate, mode: str) -> None:
    files = (f"-tlsCert={certificate.cert}", f"-tlsKey={certificate.key}", f"-tlsMode={mode}")
    context = certificate.client_context()
    with listening(program, *files, "-esmtp", "-authUsers=joe:secret", "-authRequired") as running:
        for mechanism in ("CRAM-MD5", "PLAIN", "LOGIN"):
            if mode == "implicit":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    HOST, running.port, "example.com", timeout=PATIENCE, context=context
                )
            else:
                client = smtplib.SMTP(HOST, running.port, "example.com", timeout=PATIENCE)
                client.starttls(context=context)
            with client:
                client.ehlo()
                client.user, client.password = "joe", "secret"
                client.auth(mechanism, getattr(client, f"auth_{mechanism.lower().replace('-', '_')}"))
                assert client.sendmail("a@example.com", ["zoë@example.com"], MAIL, ["SMTPUTF8"]) == {}


def test_chunks_and_bounces(program: Path) -> None:
    with listening(program, "-extensions=CHUNKING,DSN") as running, running.client() as client:
        client.send(b"EHLO example.com\r\nMAIL FROM:<> RET=HDRS\r\nRCPT TO:<postmaster> NOTIFY=NEVER\r\n")
        client.send(b"BDAT 5\r\n\x00\n.\r\nBDAT 0 LAST\r\nQUIT\r\n")
        codes = [line[:3] for line in client.rest().splitlines()]
    assert codes == [b"250", b"250", b"250", b"250", b"250", b"250", b"250", b"221"]


def test_hundreds_of_rules(program: Path, tmp_path: Path) -> None:
    """What finds them is loaded by the first command, texts and recipients by the first that asks for them."""
    kinds = {"rcpt": "match = '*@{}.example'", "data": "recipient = '{}@*'", "message": "contains = 'number {} of'"}
    path = tmp_path / "rules.toml"
    path.write_text(
        "".join(
            f"[[rule]]\non = '{on}'\n{key.format(number)}\nreply = '451 {number}'\n"
            for number in range(200)
            for on, key in kinds.items()
        ),
        "ascii",
    )
    with listening(program, f"-rules={path}", "-multipleRcptto") as running, running.client() as client:
        client.send(ENVELOPE + b"RCPT TO:<a@77.example>\r\nDATA\r\n" + b"x" * 500_000 + b"number 99 of\r\n.\r\n")
        client.send(b"RCPT TO:<88@example.com>\r\nDATA\r\nQUIT\r\n")
        replies = client.rest().splitlines()
    assert [reply for reply in replies if reply.startswith(b"451")] == [b"451 77", b"451 99", b"451 88"]


@pytest.mark.parametrize("mode", ["starttls", "required", "implicit"])
def test_a_certificate_is_made(program: Path, mode: str) -> None:
    http_port = free_port()
    with listening(program, "-tlsSelfSigned", f"-tlsMode={mode}", f"-httpPort={http_port}") as running:
        assert_mail_goes_in_by_tls(running, http_port, mode)


def assert_mail_goes_in_by_tls(running: Daemon, http_port: int, mode: str) -> None:
    """A client that trusts what the server says is to be trusted verifies it."""
    with urllib.request.urlopen(f"http://{HOST}:{http_port}/smtpmock/tls-authority.pem", timeout=PATIENCE) as answer:
        context = ssl.create_default_context(cadata=answer.read().decode("ascii"))
    if mode == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(HOST, running.port, "example.com", timeout=PATIENCE, context=context)
    else:
        client = smtplib.SMTP(HOST, running.port, "example.com", timeout=PATIENCE)
        client.starttls(context=context)
    with client:
        assert client.sendmail("a@example.com", ["b@example.com"], MAIL) == {}


@linux
def test_openssl_is_loaded_where_it_is_used(program: Path, certificate: Certificate) -> None:
    makers = {"_rust", "_cffi_backend"}
    with listening(program, "-esmtp") as plain, plain.client() as client:
        client.ask(b"NOOP\r\n")
        assert {"libpython3"} <= loaded(plain) - {"libssl", "libcrypto"} - makers == loaded(plain)
    with listening(program, f"-tlsCert={certificate.both}") as secured:
        assert {"libssl", "libcrypto"} <= loaded(secured) - makers == loaded(secured)
    with listening(program, "-tlsSelfSigned") as maker:
        assert {"libssl", "libcrypto", *makers} <= loaded(maker)
