"""ESMTP, TLS and AUTH of the frozen program, which are in it and are loaded only where they are on."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from tests.certificates import Certificate
from tests.helpers import PATIENCE, Daemon

from .processes import linux, listening, run

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


def test_certificates_are_not_made(program: Path) -> None:
    done = run(program, "-tlsSelfSigned")
    assert done.returncode == 1
    assert "Failed to make a TLS certificate: the library trustme is missing" in done.stderr.splitlines()[0]
    assert "-tlsCert" in done.stderr.splitlines()[0]


@linux
def test_openssl_is_loaded_where_it_is_used(program: Path, certificate: Certificate) -> None:
    with listening(program, "-esmtp") as plain, plain.client() as client:
        client.ask(b"NOOP\r\n")
        assert {"libpython3"} <= loaded(plain) - {"libssl", "libcrypto"} == loaded(plain)
    with listening(program, f"-tlsCert={certificate.both}") as secured:
        assert {"libssl", "libcrypto"} <= loaded(secured)
