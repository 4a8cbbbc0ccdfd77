"""Message: the record of one SMTP transaction, and the same as a mail.

Invariant: the fields stand in the order of the dialogue; to forget one stage is to forget all that
came after it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from .log import escape

NO_PARAMETERS: Mapping[str, str] = {}


class Message:
    """What one transaction was asked and what it answered.

    A ``*_request`` is the command's line without the white space around it, a ``*_response`` the
    reply that it got, and the flag of the same name says whether it succeeded. Bytes of a line
    that were not UTF-8 stand as lone surrogates (``surrogateescape``). ``msg_request`` is the
    body's bytes, untouched but for the dots of RFC 5321 section 4.5.2. ``mailfrom_parameters`` and
    ``rcptto_parameters``, the latter one for each of ``forward_paths``, are what stood behind an accepted
    address under ESMTP: keyword in upper case to value, which is empty where there was none. ``chunks`` says
    how many chunks of BDAT were taken for its body. ``tls`` is the version of TLS that it came by, as
    ``TLSv1.3``; empty where it came in plaintext. ``auth`` says whether AUTH succeeded before it,
    ``auth_mechanism`` and ``auth_username`` how and as whom it was tried last.
    """

    __slots__ = (
        "__weakref__",
        "auth",
        "auth_mechanism",
        "auth_username",
        "chunks",
        "client_address",
        "data",
        "data_request",
        "data_response",
        "forward_paths",
        "helo",
        "helo_request",
        "helo_response",
        "id",
        "mailfrom",
        "mailfrom_parameters",
        "mailfrom_request",
        "mailfrom_response",
        "msg",
        "msg_request",
        "msg_response",
        "noop",
        "quit_sent",
        "rcptto",
        "rcptto_parameters",
        "rcptto_request_response",
        "received_at",
        "reverse_path",
        "rset",
        "rset_request",
        "rset_response",
        "rules",
        "server_address",
        "tls",
    )

    RECORD_FIELDS = (
        "helo_request",
        "helo_response",
        "helo",
        "mailfrom_request",
        "mailfrom_response",
        "mailfrom",
        "rcptto_request_response",
        "rcptto",
        "data_request",
        "data_response",
        "data",
        "msg_request",
        "msg_response",
        "msg",
        "rset_request",
        "rset_response",
        "rset",
        "noop",
        "quit_sent",
        "is_consistent",
    )

    def __init__(self) -> None:
        self.id = 0
        """The message's number on its server, from 1 on; 0 until the server keeps it."""
        self.received_at = 0.0
        """When the transaction ended, in seconds since 1970 (UTC)."""
        self.client_address = ""
        """The peer's IP address."""
        self.server_address = ""
        """The IP address that the peer had connected to."""
        self.rules: list[str] = []
        """The names of the rules that decided on a reply, each once, in order."""
        self.forget_from_tls()

    @property
    def is_consistent(self) -> bool:
        """Whether MAIL, RCPT, DATA and the body all succeeded: an accepted mail."""
        return self.mailfrom and self.rcptto and self.data and self.msg

    def as_dict(self) -> dict[str, object]:
        """The record's fields by name, in the order of the dialogue."""
        return {name: getattr(self, name) for name in self.RECORD_FIELDS}

    def as_json(self, *, with_body: bool = True) -> dict[str, object]:
        """All fields as JSON has them; ``received_at`` as RFC 3339 has it."""
        return {
            "id": self.id,
            "received_at": _timestamp(self.received_at),
            "client_address": self.client_address,
            "server_address": self.server_address,
            "reverse_path": line_text(self.reverse_path),
            "forward_paths": [line_text(path) for path in self.forward_paths],
            **self.record_as_json(with_body=with_body),
        }

    def record_as_json(self, *, with_body: bool = True) -> dict[str, object]:
        r"""The record's fields as JSON has them.

        A body that is not UTF-8 stands in base 64, and ``msg_request_encoding`` says which it is; in a
        line, a byte that is not UTF-8 stands as ``\xNN``.
        """
        record = self.as_dict()
        for name, value in record.items():
            if isinstance(value, str):
                record[name] = line_text(value)
        record["rcptto_request_response"] = [
            [line_text(line) for line in pair] for pair in self.rcptto_request_response
        ]
        if with_body:
            record["msg_request"], record["msg_request_encoding"] = _body_text(self.msg_request)
        else:
            del record["msg_request"]
        record["mailfrom_parameters"] = _parameter_texts(self.mailfrom_parameters)
        record["rcptto_parameters"] = [_parameter_texts(parameters) for parameters in self.rcptto_parameters]
        record["chunks"] = self.chunks
        record["tls"] = self.tls
        record["auth"] = self.auth
        record["auth_mechanism"] = self.auth_mechanism
        record["auth_username"] = line_text(self.auth_username)
        record["rules"] = self.rules
        return record

    def as_mail(self) -> bytes:
        """The message as final delivery would leave it: trace header, then ``msg_request``.

        The header is RFC 5321 section 4.4's: ``Return-Path:``, then ``Received:`` with its from,
        by, with, id, for (where there is one recipient) and date. Control characters, which a rule may have
        accepted, are escaped as in the log.
        """
        return self.trace_header() + self.msg_request

    def trace_header(self) -> bytes:
        """What :meth:`as_mail` puts before the body."""
        from email.utils import formatdate  # costs more than a whole start without it

        name = escape(self.helo_request.partition(" ")[2])
        client = _address_literal(self.client_address)
        server = _address_literal(self.server_address)
        lines = [
            f"Return-Path: <{escape(self.reverse_path)}>",
            f"Received: from {name if self.helo else client} ({client})",
            f"\tby {server} with {self._protocol()} id {self.id}",
            f"\t{self._for_clause()}; {formatdate(self.received_at, localtime=True)}",
        ]
        return "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape")

    def _for_clause(self) -> str:
        # One path at most: more would disclose blind copies (RFC 5321 section 7.2).
        return f"for <{escape(self.forward_paths[0])}>" if len(self.forward_paths) == 1 else ""

    def _protocol(self) -> str:
        """How it came (RFC 3848, RFC 6531 section 4.3)."""
        if self.helo_request[:4].upper() != "EHLO":
            return "SMTP"
        name = "UTF8SMTP" if "SMTPUTF8" in self.mailfrom_parameters else "ESMTP"
        return name + ("S" if self.tls else "") + ("A" if self.auth else "")

    def forget_from_tls(self) -> None:
        self.tls = ""
        self.auth = False
        self.auth_mechanism = ""
        self.auth_username = ""
        self.forget_from_helo()

    def forget_from_helo(self) -> None:
        self.helo_request = ""
        self.helo_response = ""
        self.helo = False
        self.forget_from_mailfrom()

    def forget_from_mailfrom(self) -> None:
        self.mailfrom_request = ""
        self.mailfrom_response = ""
        self.mailfrom = False
        self.reverse_path = ""
        self.mailfrom_parameters = NO_PARAMETERS
        self.forget_from_rcptto()

    def forget_from_rcptto(self) -> None:
        self.rcptto_request_response: list[tuple[str, str]] = []
        self.rcptto = False
        self.forward_paths: list[str] = []
        self.rcptto_parameters: list[Mapping[str, str]] = []
        self.forget_from_data()

    def forget_from_data(self) -> None:
        self.data_request = ""
        self.data_response = ""
        self.data = False
        self.msg_request = b""
        self.msg_response = ""
        self.msg = False
        self.chunks = 0
        self.rset_request = ""
        self.rset_response = ""
        self.rset = False
        self.noop = False
        self.quit_sent = False

    def inherit(self, other: Message) -> None:
        """Start where another message of the same session stood after its HELO."""
        self.tls = other.tls
        self.auth = other.auth
        self.auth_mechanism = other.auth_mechanism
        self.auth_username = other.auth_username
        self.helo_request = other.helo_request
        self.helo_response = other.helo_response
        self.helo = other.helo

    def __repr__(self) -> str:
        stages = [name for name in ("helo", "mailfrom", "rcptto", "data", "msg") if getattr(self, name)]
        return (
            f"<Message {self.id}: from <{self.reverse_path}> to {self.forward_paths}, "
            f"{len(self.msg_request)} bytes, succeeded: {', '.join(stages) or 'nothing'}>"
        )


def line_text(line: str) -> str:
    """A line as valid Unicode: bytes that were not UTF-8 as ``\\xNN``."""
    # Not as the lone surrogate that it is: many a JSON parser refuses the whole document for one.
    return line if line.isascii() else line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parameter_texts(parameters: Mapping[str, str]) -> dict[str, str]:
    return {keyword: line_text(value) for keyword, value in parameters.items()}


def _body_text(body: bytes) -> tuple[str, str]:
    """The body as a text, and the name of its encoding."""
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        from binascii import b2a_base64  # only here: a plain start imports nothing that it has no use for

        return b2a_base64(body, newline=False).decode("ascii"), "base64"


def _timestamp(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 has them, in UTC."""
    whole = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1e6):06d}Z"


def _address_literal(address: str) -> str:
    """An IP address as RFC 5321 section 4.1.3 writes it."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
