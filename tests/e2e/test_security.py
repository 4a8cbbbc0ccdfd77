"""TLS and AUTH with clients that people use: they trust our certificate, log in, and see what is refused."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli import Configuration, Message, Server
from smtpmock_cli.configuration import AUTH_MECHANISMS
from tests.certificates import Certificate
from tests.helpers import PATIENCE

from . import tools
from .clients import HOST, NAME, Sending, curl, found, nodemailer, run, swaks_secured
from .mail import MAIL_BYTES, RECIPIENTS, SENDER
from .test_clients import check_message

USER, PASSWORD = "joe@example.com", "s3cr:et pass*word"
each_mechanism = pytest.mark.parametrize("mechanism", AUTH_MECHANISMS)


class Login:
    """What a client is to do: TLS as the mode says, trusting the authority, and then AUTH, if there is a mechanism."""

    def __init__(self, certificate: Certificate, mode: str = "", mechanism: str = "", password: str = PASSWORD) -> None:
        self.certificate = certificate
        self.mode = mode
        self.mechanism = mechanism
        self.password = password

    def settings(self, **more: Any) -> Configuration:
        if self.mode:
            more |= {"tls_cert": self.certificate.both, "tls_mode": self.mode}
        if self.mechanism:
            more |= {
                "auth_users": [f"{USER}:{PASSWORD}"],
                "auth_mechanisms": [self.mechanism],
                "auth_required": True,
            }
        return Configuration(**more)


def by_smtplib(sending: Sending, login: Login) -> str:
    context = login.certificate.client_context()
    made: dict[str, Any] = {"host": HOST, "port": sending.port, "local_hostname": NAME, "timeout": PATIENCE}
    try:
        with smtplib.SMTP_SSL(**made, context=context) if login.mode == "implicit" else smtplib.SMTP(**made) as client:
            if login.mode in ("starttls", "required"):
                client.starttls(context=context)
            if login.mechanism:
                client.login(USER, login.password)
            client.sendmail(SENDER, sending.recipients, MAIL_BYTES)
    except (smtplib.SMTPException, OSError) as error:
        return f"exit 1\n{error!r}"
    return "exit 0\n"


def by_curl(sending: Sending, login: Login) -> str:
    options = ["--cacert", login.certificate.authority] if login.mode else []
    if login.mode in ("starttls", "required"):
        options += ["--ssl-reqd"]
    if login.mechanism:
        options += ["--user", f"{USER}:{login.password}", "--login-options", f"AUTH={login.mechanism}"]
    return curl(sending, *options, scheme="smtps" if login.mode == "implicit" else "smtp")


def by_swaks(sending: Sending, login: Login) -> str:
    options = {"": [], "implicit": ["--tls-on-connect"]}.get(login.mode, ["--tls"])
    options += ["--tls-verify", "--tls-ca-path", login.certificate.authority] if login.mode else []
    if login.mechanism:
        options += ["--auth", login.mechanism, "--auth-user", USER, "--auth-password", login.password]
    return swaks_secured(sending, *options)


def by_swaks_pipelining(sending: Sending, login: Login) -> str:
    options = {"": [], "implicit": ["--tls-on-connect"]}.get(login.mode, ["--tls"])
    options += ["--auth", login.mechanism, "--auth-user", USER, "--auth-password", login.password] * bool(
        login.mechanism
    )
    return swaks_secured(sending, *options, "--pipeline")


def by_nodemailer(sending: Sending, login: Login) -> str:
    options: dict[str, Any] = {"secure": login.mode == "implicit", "requireTLS": login.mode in ("starttls", "required")}
    options["tls"] = {"ca": Path(login.certificate.authority).read_text()}
    if login.mechanism:
        options |= {"auth": {"user": USER, "pass": login.password}, "authMethod": login.mechanism}
    return nodemailer(sending, **options)


Send = Callable[[Sending, Login], str]
CLIENTS: dict[str, Send] = {
    "smtplib": by_smtplib,
    "curl": by_curl,
    "swaks": by_swaks,
    "swaks, pipelining": by_swaks_pipelining,
    "nodemailer": by_nodemailer,
}
each_client = pytest.mark.parametrize("send", CLIENTS.values(), ids=CLIENTS.keys())


def received(send: Send, login: Login, folder: Path, **settings: Any) -> tuple[str, Message]:
    """What a client said, and what came of it."""
    with Server(login.settings(multiple_rcptto=True, **settings)) as server:
        said = send(Sending(server.port_number, RECIPIENTS, folder), login)
        return said, server.wait_for_messages(1, PATIENCE)[0]


@each_client
@pytest.mark.parametrize("mode", ["starttls", "required", "implicit"])
@pytest.mark.parametrize("esmtp", [False, True])
def test_tls(send: Send, mode: str, esmtp: bool, certificate: Certificate, tmp_path: Path) -> None:
    said, message = received(send, Login(certificate, mode), tmp_path, esmtp=esmtp)
    assert said.startswith("exit 0"), said
    assert message.tls.startswith("TLSv1.")
    check_message(message, RECIPIENTS)


@each_client
@each_mechanism
@pytest.mark.parametrize("mode", ["", "required"])
def test_auth(send: Send, mechanism: str, mode: str, certificate: Certificate, tmp_path: Path) -> None:
    said, message = received(send, Login(certificate, mode, mechanism), tmp_path, esmtp=bool(mode))
    assert said.startswith("exit 0"), said
    assert (message.auth, message.auth_mechanism, message.auth_username) == (True, mechanism, USER)
    check_message(message, RECIPIENTS)
    assert message.as_mail().partition(b" with ")[2].startswith(b"ESMTPSA id " if mode else b"ESMTPA id ")


REFUSED = {
    "smtplib": r"exit 1\nSMTPAuthenticationError\(535, ",
    "curl": r"exit 67\n.*Login denied|exit 67\n.*login",
    "swaks": r"exit 28\n.*\n<\*\* 535 ",
    "swaks, pipelining": r"exit 28\n.*\n<\*\* 535 ",
    "nodemailer": r"exit 1\nEAUTH 535 535 ",
}


@pytest.mark.parametrize("name", CLIENTS)
@each_mechanism
def test_a_wrong_password(name: str, mechanism: str, certificate: Certificate, tmp_path: Path) -> None:
    said, message = received(CLIENTS[name], Login(certificate, "", mechanism, "wrong"), tmp_path)
    assert re.match(REFUSED[name], said, re.DOTALL), said
    assert (message.auth, message.auth_mechanism, message.auth_username) == (False, mechanism, USER)
    assert not message.mailfrom


@pytest.mark.parametrize("mechanism", AUTH_MECHANISMS)
def test_login_of_smtplib(mechanism: str) -> None:
    settings = Configuration(auth_users=["joe:secret"], auth_mechanisms=[mechanism], auth_required=True)
    with Server(settings) as server, smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            client.sendmail(SENDER, RECIPIENTS, MAIL_BYTES)
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login("joe", "wrong")
        for initial in (True, False):
            with smtplib.SMTP(HOST, server.port_number, NAME, PATIENCE) as other:
                assert other.login("joe", "secret", initial_response_ok=initial)[0] == 235
                again = getattr(other, f"auth_{mechanism.lower().replace('-', '_')}")
                assert other.auth(mechanism, again)[0] == 503


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(version: str, certificate: Certificate) -> None:
    with Server(Login(certificate, "starttls").settings()) as server:
        command = ["s_client", "-starttls", "smtp", "-connect", f"{HOST}:{server.port_number}", "-verify_return_error"]
        command += ["-CAfile", certificate.authority, "-quiet", "-crlf", version]
        said = run(found(tools.openssl), *command, stdin=b"EHLO example.com\nNOOP\nQUIT\n")
        message = server.wait_for_messages(1, PATIENCE)[0]
    assert said.startswith("exit 0"), said
    assert (message.tls, message.helo) == (f"TLSv1.{version[-1]}", True)
    assert "221 Closing connection" in said


def test_openssl_meets_no_old_version(certificate: Certificate) -> None:
    with Server(Login(certificate, "starttls").settings()) as server:
        command = ["s_client", "-starttls", "smtp", "-connect", f"{HOST}:{server.port_number}", "-tls1_1"]
        said = run(found(tools.openssl), *command, "-cipher", "ALL:@SECLEVEL=0")
        assert not server.wait_for_messages(1, PATIENCE)[0].tls
    assert said.startswith("exit 1")
    assert "protocol version" in said


@each_client
def test_a_certificate_that_is_not_trusted(send: Send, certificate: Certificate, tmp_path: Path) -> None:
    if send is by_swaks_pipelining:
        pytest.skip("it is not told to verify")
    with Server(Configuration(tls_self_signed=True, tls_mode="required")) as server:
        said = send(Sending(server.port_number, RECIPIENTS[:1], tmp_path), Login(certificate, "required"))
        message = server.wait_for_messages(1, PATIENCE)[0]
    assert not said.startswith("exit 0")
    assert not message.mailfrom
