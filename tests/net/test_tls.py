"""TLS on a running server: handshakes that succeed, that fail, and what a client does amid them."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from smtpmock_cli import Configuration, Message, Rule, Server, ServerStartError
from smtpmock_cli.net.connection import Connection
from smtpmock_cli.net.tls import Tls
from smtpmock_cli.smtp.session import Session
from tests.certificates import Certificate
from tests.helpers import BODY, ENVELOPE, HELO, PATIENCE, PROGRAM, ROOT, TRANSACTION, Client, daemon
from tests.test_cli import posix, wait_for_error, wait_for_line

HOST = "127.0.0.1"
EHLO = b"EHLO example.com\r\n"


def settings(certificate: Certificate, **more: Any) -> Configuration:
    return Configuration(tls_cert=certificate.cert, tls_key=certificate.key, **more)


def secure(client: Client, certificate: Certificate) -> None:
    """Have the client speak TLS from now on."""
    client.file.close()
    client.sock = certificate.client_context().wrap_socket(client.sock, server_hostname=HOST)
    client.file = client.sock.makefile("rb")


def starttls(client: Client, certificate: Certificate, behind: bytes = b"") -> None:
    assert client.ask(b"STARTTLS\r\n" + behind) == "220 Ready to start TLS"
    secure(client, certificate)


def beneath(client: Client) -> socket.socket:
    """The client's socket without its TLS."""
    raw = socket.socket(fileno=socket.dup(client.sock.fileno()))
    raw.settimeout(PATIENCE)
    return raw


@pytest.fixture
def server(certificate: Certificate) -> Iterator[Server]:
    with Server(settings(certificate)) as running:
        yield running


@pytest.fixture
def implicit(certificate: Certificate) -> Iterator[Server]:
    with Server(settings(certificate, tls_mode="implicit")) as running:
        yield running


def test_starttls(server: Server, certificate: Certificate) -> None:
    with Client(server.port_number) as client:
        client.send(EHLO)
        assert [client.read(), client.read()] == ["250-Received", "250 STARTTLS"]
        starttls(client, certificate)
        assert client.ask(b"RSET\r\n").startswith("503 "), "the EHLO before is forgotten"
        assert client.ask(EHLO) == "250 Received", "TLS is not offered again"
        assert client.ask(b"STARTTLS\r\n").startswith("503 ")
        client.send(TRANSACTION + b"QUIT\r\n")
        assert client.rest().endswith(b"250 Received\r\n221 Closing connection\r\n")
    (message,) = server.wait_for_messages(1, PATIENCE)
    assert message.is_consistent
    assert message.tls in ("TLSv1.2", "TLSv1.3")
    assert b" with SMTP id " in message.as_mail()


def test_implicit(implicit: Server, certificate: Certificate) -> None:
    with Client(implicit.port_number, greeted=False) as client:
        secure(client, certificate)
        assert client.read() == "220 Welcome"
        assert client.ask(EHLO) == "250 Received"
        client.send(TRANSACTION.replace(b"HELO", b"EHLO") + b"QUIT\r\n")
        assert client.rest().endswith(b"221 Closing connection\r\n")
    (message,) = implicit.wait_for_messages(1, PATIENCE)
    assert message.tls
    assert b" with ESMTPS id " in message.as_mail()


def test_required(certificate: Certificate) -> None:
    with Server(settings(certificate, tls_mode="required")) as server, Client(server.port_number) as client:
        for line in (HELO, b"MAIL FROM:<a@b.co>\r\n", b"RSET\r\n", b"DATA\r\n"):
            assert client.ask(line) == "530 Must issue a STARTTLS command first", line
        assert client.ask(b"NOOP\r\n") == "250 Ok"
        client.send(EHLO)
        assert [client.read(), client.read()] == ["250-Received", "250 STARTTLS"]
        starttls(client, certificate)
        client.send(TRANSACTION)
        assert [client.read()[:3] for _ in range(5)] == ["250", "250", "250", "354", "250"]


@pytest.mark.parametrize("behind", [b"MAIL FROM:<evil@example.com>\r\n", b"QUIT\r\n", b"x" * 100_000, b"\x16\x03"])
def test_what_came_in_plaintext_behind_starttls_is_dropped(
    server: Server, certificate: Certificate, behind: bytes
) -> None:
    """CVE-2011-0411; where it does not arrive with the command, it spoils the handshake."""
    with Client(server.port_number) as client:
        client.ask(HELO)
        try:
            starttls(client, certificate, behind)
            assert client.ask(HELO) == "250 Received"
            client.send(b"QUIT\r\n")
            assert client.rest() == b"221 Closing connection\r\n"
        except (ssl.SSLError, ConnectionError):
            assert len(behind) > 1000
    (message,) = server.wait_for_messages(1, PATIENCE)
    assert message.mailfrom_request == ""


def test_several_handshakes_at_once(server: Server, certificate: Certificate) -> None:
    clients = [Client(server.port_number) for _ in range(20)]
    for client in clients:
        client.ask(b"STARTTLS\r\n")
    for client in reversed(clients):
        secure(client, certificate)
        client.send(TRANSACTION + b"QUIT\r\n")
    for client in clients:
        assert client.rest().endswith(b"221 Closing connection\r\n")
        client.close()
    assert all(message.is_consistent and message.tls for message in server.wait_for_messages(20, PATIENCE))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(implicit: Server, certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = certificate.client_context()
    context.minimum_version = context.maximum_version = version
    with smtplib.SMTP_SSL(HOST, implicit.port_number, "example.com", timeout=PATIENCE, context=context) as client:
        assert client.noop() == (250, b"Ok")
    assert implicit.wait_for_messages(1, PATIENCE)[0].tls == version.name.replace("_", ".")


OLD = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x02" + b"r" * 32 + b"\x00\x00\x02\x00\x2f\x01\x00"
"""The hello of a client that knows no TLS after 1.1."""


@pytest.mark.parametrize(
    ("sent", "trouble"),
    [
        (b"EHLO example.com\r\n" * 3, "tls handshake: (wrong version number|packet length too long)"),
        (b"GET / HTTP/1.0\r\n\r\n", "tls handshake: (http request|wrong version number)"),
        (OLD, "tls handshake: unsupported protocol"),
        (b"\x16\x03\x01\x00\x05", "tls handshake: eof"),
        (b"", "tls handshake: eof"),
    ],
)
def test_a_handshake_that_fails_ends_that_session_alone(
    certificate: Certificate, sent: bytes, trouble: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with Server(settings(certificate, log_to_stdout=True)) as server, Client(server.port_number) as other:
        with Client(server.port_number) as client:
            client.ask(b"STARTTLS\r\n")
            client.send(sent)
            client.end()
        assert other.ask(b"NOOP\r\n") == "250 Ok"
        assert len(server.wait_for_messages(1, PATIENCE)) == 1
        starttls(other, certificate)
        assert other.ask(b"NOOP\r\n") == "250 Ok"
    assert re.search(
        rf"^ERROR: .* read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: read: {trouble}$",
        capfd.readouterr().err,
        re.MULTILINE,
    )


def test_a_client_that_does_not_trust_us(server: Server) -> None:
    with Client(server.port_number) as client:
        client.ask(b"STARTTLS\r\n")
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(client.sock, server_hostname=HOST)
    assert not server.wait_for_messages(1, PATIENCE)[0].tls


def test_the_alert_reaches_the_client(server: Server) -> None:
    with Client(server.port_number) as client:
        client.ask(b"STARTTLS\r\n")
        client.send(OLD)
        assert client.rest() == b"\x15\x03\x02\x00\x02\x02\x46", "fatal, protocol version (RFC 5246 section 7.2)"


def test_records_that_are_none_end_the_session(
    implicit: Server, certificate: Certificate, capfd: pytest.CaptureFixture[str]
) -> None:
    with Client(implicit.port_number, greeted=False) as client:
        secure(client, certificate)
        client.read()
        with beneath(client) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.read()
    assert implicit.wait_for_messages(1, PATIENCE)[0].tls


def test_the_handshake_has_the_session_timeout(certificate: Certificate, capfd: pytest.CaptureFixture[str]) -> None:
    with Server(settings(certificate, tls_mode="implicit", session_timeout=1, log_to_stdout=True)) as server:
        with Client(server.port_number, greeted=False) as client:
            assert client.rest() == b""
        assert len(server.wait_for_messages(1, PATIENCE)) == 1
    assert "i/o timeout" in capfd.readouterr().err


def test_a_delay_holds_back_what_came_together(certificate: Certificate) -> None:
    """Data, and the peer's end, that arrive in one piece with what is answered late."""
    slow = settings(certificate, tls_mode="implicit", response_delay_noop=1)
    with Server(slow) as server, Client(server.port_number, greeted=False) as client:
        secure(client, certificate)
        client.read()
        client.send(b"NOOP\r\nRSET\r\n" + b"x" * 40_000 + b"\r\n")
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.sock.settimeout(PATIENCE)
        assert [client.sock.recv(1000)[:3] for _ in range(3)] == [b"250", b"503", b"502"]


def test_a_peer_that_says_good_bye_with_its_last_command_gets_its_reply(certificate: Certificate) -> None:
    with Server(settings(certificate, tls_mode="implicit", response_delay_noop=1)) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificate.client_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with socket.create_connection((HOST, server.port_number), PATIENCE) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            tls.write(b"NOOP\r\n")
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()
            sock.sendall(outgoing.read())
            while data := sock.recv(65536):
                incoming.write(data)
        assert [tls.read(), tls.read()] == [b"220 Welcome\r\n", b"250 Ok\r\n"]
        with pytest.raises(ssl.SSLZeroReturnError):
            tls.read()
        assert server.wait_for_messages(1, PATIENCE)[0].noop


def test_large_bodies_and_many_replies(implicit: Server, certificate: Certificate) -> None:
    body = Random(1).randbytes(300_000).hex().encode() + b"\r\n"
    with Client(implicit.port_number, greeted=False) as client:
        secure(client, certificate)
        client.read()
        client.send(ENVELOPE + b"DATA\r\n" + body + b".\r\n" + b"NOOP\r\n" * 5_000 + b"QUIT\r\n")
        assert client.rest().count(b"250 Ok\r\n") == 5_000
    assert implicit.wait_for_messages(1, PATIENCE)[0].msg_request == body


def test_a_peer_that_does_not_read_is_not_read_from(implicit: Server, certificate: Certificate) -> None:
    with Client(implicit.port_number, greeted=False) as deaf, Client(implicit.port_number, greeted=False) as other:
        secure(deaf, certificate)
        deaf.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            deaf.send(b"NOOP\r\n" * 15_000_000)
        secure(other, certificate)
        assert other.read() == "220 Welcome"


@posix
@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_rules_break_off(certificate: Certificate, then: str) -> None:
    rules = [Rule(on="noop", then=then)]
    with Server(settings(certificate, tls_mode="implicit", rules=rules, session_timeout=1)) as server:
        with Client(server.port_number, greeted=False) as client:
            secure(client, certificate)
            client.read()
            client.send(b"NOOP\r\n")
            if then == "reset":
                with beneath(client) as raw, pytest.raises(ConnectionResetError):
                    raw.recv(1)
            else:
                assert client.rest() == b""
        assert server.wait_for_messages(1, PATIENCE)[0].rules == ["rule 1"]


@pytest.mark.parametrize("on", ["starttls", "connect"])
def test_rules_about_the_handshake(certificate: Certificate, on: str) -> None:
    rules = [Rule(on=on, times=1, reply="454 4.7.0 TLS not available due to temporary reason")]
    with Server(settings(certificate, rules=rules)) as server, Client(server.port_number, greeted=False) as client:
        told = [client.read(), client.ask(b"STARTTLS\r\n")]
        assert [line[:3] for line in told] == (["454", "220"] if on == "connect" else ["220", "454"])
        if on == "starttls":
            starttls(client, certificate)
        else:
            secure(client, certificate)
        assert client.ask(b"NOOP\r\n") == "250 Ok"


def test_a_stop_amid_a_handshake(certificate: Certificate) -> None:
    server = Server(settings(certificate))
    server.start()
    with Client(server.port_number) as client:
        client.ask(b"STARTTLS\r\n")
        client.send(OLD[:5])
        server.stop()
        with suppress(ConnectionResetError):
            assert client.rest() == b""
    assert len(server.messages()) == 1


def test_a_signal_amid_a_handshake(certificate: Certificate) -> None:
    with daemon(f"-tlsCert={certificate.both}", "-shutdownTimeout=1") as running, running.client() as client:
        client.ask(b"STARTTLS\r\n")
        wait_for_line(running, "220 Ready to start TLS")
        running.signal(signal.SIGTERM)
        assert client.rest() == b""
        assert running.finish()[0] == 0


def test_sessions_tell_of_the_handshake(certificate: Certificate) -> None:
    with Server(settings(certificate)) as server, Client(server.port_number) as client:
        client.ask(b"STARTTLS\r\n")
        assert [session.status()["state"] for session in server._sessions.under_way] == ["TLS handshake"]


def test_a_finished_session_leaves_nothing_for_the_garbage_collector(certificate: Certificate) -> None:
    def held() -> list[object]:
        return [thing for thing in gc.get_objects() if isinstance(thing, (Connection, Message, Session, Tls))]

    gc.collect()
    gc.disable()
    try:
        before = held()
        with Server(settings(certificate, tls_mode="implicit"), keep_messages=False) as server:
            for _ in range(3):
                with Client(server.port_number, greeted=False) as client:
                    secure(client, certificate)
                    client.send(TRANSACTION + b"QUIT\r\n")
                    client.rest()
            Client(server.port_number, greeted=False).close()
        assert [thing for thing in held() if not any(thing is known for known in before)] == []
    finally:
        gc.enable()


def test_the_log_tells_of_the_handshake(certificate: Certificate) -> None:
    with daemon(f"-tlsCert={certificate.both}", "-tlsMode=implicit") as running:
        context = certificate.client_context()
        with smtplib.SMTP_SSL(HOST, running.port, "example.com", timeout=PATIENCE, context=context) as client:
            client.noop()
        Client(running.port, greeted=False).close()
        wait_for_line(running, "SMTP session started")
        wait_for_line(running, "SMTP session secured: TLSv1.")
        wait_for_line(running, "SMTP response: 220 Welcome")
        wait_for_error(running, "tls handshake: eof")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_self_signed(name: str) -> None:
    with Server(Configuration(tls_self_signed=True)) as server:
        assert server.tls_authority is not None
        context = ssl.create_default_context(cadata=server.tls_authority.decode())
        with Client(server.port_number) as client:
            client.ask(b"STARTTLS\r\n")
            with context.wrap_socket(client.sock, server_hostname=name) as secured:
                secured.sendall(b"NOOP\r\n")
                assert secured.recv(100) == b"250 Ok\r\n"
    with Server() as server:
        assert server.tls_authority is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory")
def test_self_signed_needs_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Server(Configuration(tls_self_signed=True)) as server:
        assert server.tls_authority is not None


def test_self_signed_where_nothing_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a Linux without /proc, and elsewhere: in a temporary file, which is gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "memfd_create", no_memory_file, raising=False)
    with Server(Configuration(tls_self_signed=True)) as server:
        assert server.tls_authority is not None
    assert list(tmp_path.iterdir()) == []


def no_memory_file(name: str) -> int:
    raise OSError(errno.ENOSYS, name)


def test_without_the_library_that_makes_certificates() -> None:
    code = "import sys; sys.modules['trustme'] = None; from smtpmock_cli.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "-tlsSelfSigned"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (1, "")
    first = done.stderr.splitlines()[0]
    expected = (
        "Failed to make a TLS certificate: the library trustme is missing: pip install 'smtpmock-cli[tls]', or give"
    )
    assert expected in first


@pytest.fixture
def pem_files(certificate: Certificate, tmp_path: Path) -> Path:
    """A folder with a certificate, and with keys that are no use to it."""
    (tmp_path / "cert.pem").write_bytes(Path(certificate.cert).read_bytes())
    (tmp_path / "garbage.pem").write_text("garbage")
    (tmp_path / "other.pem").write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    key = serialization.load_pem_private_key(Path(certificate.key).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (tmp_path / "locked.pem").write_bytes(pem)
    return tmp_path


@pytest.mark.parametrize(
    ("cert", "key", "told"),
    [
        ("missing.pem", "", "missing.pem: no such file or directory"),
        ("cert.pem", "missing.pem", "missing.pem: no such file or directory"),
        ("cert.pem", "", "cert.pem: is no pem"),
        ("garbage.pem", "", "garbage.pem: is no pem"),
        ("cert.pem", "other.pem", "cert.pem and .*other.pem: key values mismatch"),
        ("cert.pem", "locked.pem", "cert.pem and .*locked.pem: the private key has a password"),
        (".", "", ": (is a directory|permission denied)"),  # the latter on Windows
        ("a\0b", "", "a\0b: embedded null (byte|character)"),
    ],
)
def test_certificates_of_no_use(pem_files: Path, cert: str, key: str, told: str) -> None:
    made = Configuration(tls_cert=str(pem_files / cert), tls_key=str(pem_files / key) if key else "")
    with pytest.raises(ServerStartError, match=f"^Failed to load TLS certificate .*{told}"):
        Server(made).start()


@pytest.mark.parametrize(
    ("flags", "first_line"),
    [
        (["-tlsMode=required"], "-tlsMode needs -tlsCert or -tlsSelfSigned"),
        (["-tlsKey=key.pem"], "-tlsKey needs -tlsCert"),
        (["-tlsCert=cert.pem", "-tlsSelfSigned"], "-tlsCert and -tlsSelfSigned do not go together"),
        (
            ["-tlsCert=cert.pem", "-tlsMode=tls"],
            'invalid value "tls" for flag -tlsMode: takes one of starttls, required, implicit',
        ),
    ],
)
def test_flags_that_do_not_go_together(flags: list[str], first_line: str) -> None:
    done = subprocess.run([*PROGRAM, *flags], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (2, "", first_line)
    assert "Usage: smtpmock [flags]" in done.stderr


def test_tls_and_esmtp_together(certificate: Certificate) -> None:
    made = settings(certificate, extensions=["SIZE", "ENHANCEDSTATUSCODES"], tls_mode="required")
    with Server(made) as server, Client(server.port_number) as client:
        client.send(EHLO)
        lines = [client.read() for _ in range(4)]
        assert lines == ["250-Received", "250-SIZE 10485760", "250-ENHANCEDSTATUSCODES", "250 STARTTLS"]
        assert client.ask(b"HELP\r\n") == "530 5.7.0 Must issue a STARTTLS command first"
        assert client.ask(b"STARTTLS x\r\n") == "501 5.5.4 STARTTLS takes no argument"
        assert client.ask(b"STARTTLS\r\n") == "220 2.0.0 Ready to start TLS"
        secure(client, certificate)
        client.send(EHLO)
        assert [client.read() for _ in range(3)] == ["250-Received", "250-SIZE 10485760", "250 ENHANCEDSTATUSCODES"]
        assert client.ask(b"HELP\r\n").endswith("VRFY, STARTTLS, HELP")
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@c>\r\nDATA\r\n" + BODY + b".\r\nQUIT\r\n")
        client.rest()
    assert b" with ESMTPS id " in server.wait_for_messages(1, PATIENCE)[0].as_mail()
