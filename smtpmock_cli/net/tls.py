"""Tls: TLS between a connection and its protocol, bytes in, bytes out, on memory buffers.

Invariants: to the connection it is a protocol, to the protocol it is a connection; what comes in together
is told together, so that a pause takes effect as without it; a handshake that fails ends this connection
alone; once the protocol has closed, nothing is told to it any more, and no reference leads back to it.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress

from ..errors import reason
from .connection import Connection, Protocol
from .loop import Timer

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import Protocol as Interface

    class SecuredProtocol(Protocol, Interface):
        """A protocol that can speak over TLS."""

        def secured(self, version: str) -> None:
            """The handshake is done; the version is as ``TLSv1.3``."""


_CHUNK = 64 * 1024


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and later with a certificate; ``key`` is the file of its private key, or empty for the same file.

    :raises OSError: a file cannot be read, or does not hold what it should; the text says which and why.
    """
    for path in filter(None, (certificate, key)):
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib would cost half as much as ssl
                file.read(1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise OSError(f"{path}: {reason(error)}") from error
    context = _context()
    try:
        context.load_cert_chain(certificate, key or None, password=_refuse_to_ask)
    except OSError as error:
        told = _told(error) if isinstance(error, ssl.SSLError) else str(error)
        raise OSError(f"{' and '.join(filter(None, (certificate, key)))}: {told}") from error
    return context


def self_signed_context() -> tuple[ssl.SSLContext, bytes]:
    """The same with a certificate made for this machine, and the one, as PEM, to trust for that.

    :raises ImportError: the library that makes it is missing.
    :raises OSError: there is no place for it; the text says why.
    """
    import trustme  # only here: an extra, and of some weight

    authority = trustme.CA()
    issued = authority.issue_cert(*SELF_SIGNED_NAMES)
    context = _context()
    if not _load_from_memory(context, issued.private_key_and_cert_chain_pem.bytes()):
        issued.configure_cert(context)
    return context, authority.cert_pem.bytes()


def _load_from_memory(context: ssl.SSLContext, pem: bytes) -> bool:
    """Load a key and its certificates, which OpenSSL reads from files only; whether this system can do so.

    Not: a temporary file, as trustme uses, because a container may be read-only.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # no /proc, or no room
            with os.fdopen(os.memfd_create("certificate"), "wb", buffering=0) as file:
                file.write(pem)
                context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
            return True
    return False


SELF_SIGNED_NAMES = ("localhost", "127.0.0.1", "::1")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _refuse_to_ask() -> str:
    # Without it, OpenSSL would ask on the terminal.
    raise OSError("the private key has a password")


def _told(error: ssl.SSLError) -> str:
    """What OpenSSL says, in words."""
    return (error.reason or "is no PEM").replace("_", " ").lower()


class Tls:
    """Begins with the client's handshake, as the server.

    Its methods are those of :class:`Connection`, for the protocol, and of :class:`Protocol`, for the connection.
    """

    __slots__ = ("_connection", "_incoming", "_is_secure", "_object", "_outgoing", "_protocol")

    def __init__(self, context: ssl.SSLContext, connection: Connection, protocol: SecuredProtocol) -> None:
        self._connection = connection
        self._protocol: SecuredProtocol | None = protocol
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_secure = False
        connection.protocol = self

    # What the protocol asks of its connection.

    @property
    def client(self) -> tuple[str, int]:
        return self._connection.client

    @property
    def server(self) -> tuple[str, int]:
        return self._connection.server

    @property
    def is_blocked(self) -> bool:
        return self._connection.is_blocked

    def send(self, data: bytes) -> None:
        self._object.write(data)
        self._flush()

    def run(self, callback: Callable[[], None]) -> None:
        self._connection.run(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self._connection.call_later(seconds, callback)

    def pause(self) -> None:
        self._connection.pause()

    def resume(self) -> None:
        self._connection.resume()

    def set_deadline(self, seconds: float) -> None:
        self._connection.set_deadline(seconds)

    def clear_deadline(self) -> None:
        self._connection.clear_deadline()

    def close(self) -> None:
        self._protocol = None
        # It says good-bye, and does not wait for the peer's; amid the handshake there is nothing to end.
        with suppress(ssl.SSLError):
            self._object.unwrap()
        self._flush()
        self._connection.close()

    def reset(self) -> None:
        self._protocol = None
        self._connection.reset()

    def cut(self) -> None:
        self._protocol = None
        self._connection.cut()

    # What the connection tells its protocol.

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self._is_secure:
                self._shake_hands()
            if self._is_secure:
                self._receive()
        except ssl.SSLError as error:
            self._fail(_told(error))

    def end_received(self) -> None:
        if self._is_secure:
            self._tell_end()
        else:
            self._fail("eof")

    def sent(self) -> None:
        if self._protocol is not None:
            self._protocol.sent()

    def timed_out(self, *, sending: bool) -> None:
        if self._protocol is not None:
            self._protocol.timed_out(sending=sending)

    def failed(self, error: OSError, *, sending: bool) -> None:
        if self._protocol is not None:
            self._protocol.failed(error, sending=sending)
            self._protocol = None

    def dropped(self) -> None:
        if self._protocol is not None:
            self._protocol.dropped()
            self._protocol = None

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        finally:
            self._flush()
        self._is_secure = True
        if self._protocol is not None:
            self._protocol.secured(self._object.version() or "")

    def _receive(self) -> None:
        pieces: list[bytes] = []
        has_ended = False
        try:
            while piece := self._object.read(_CHUNK):
                pieces.append(piece)
            has_ended = True  # by the peer's good-bye
        except ssl.SSLWantReadError:
            pass
        self._flush()
        if pieces and self._protocol is not None:
            self._protocol.data_received(b"".join(pieces))
        if has_ended:
            self._tell_end()

    def _tell_end(self) -> None:
        if self._protocol is not None:
            self._protocol.end_received()

    def _fail(self, trouble: str) -> None:
        """Tell why it cannot go on, to the log and to the peer."""
        what = "tls" if self._is_secure else "tls handshake"
        self.failed(OSError(f"{what}: {trouble}"), sending=False)
        self._flush()
        self._connection.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._connection.send(self._outgoing.read())
