"""``-ready``: asks the server that a configuration describes whether it is ready, once.

Invariant: the answer takes LIMIT seconds at most, whatever the server, the network, the resolver or a file does; so a
thread does the asking, because name resolution can be neither interrupted nor limited.

The HTTP side knows (``/readyz``). Without it, the greeting is the answer, whatever its code: 421 or 554 may be what the
server is configured to say, and to /readyz it is ready then, too. QUIT ends that session, because to the log any other
end is an error.
"""

from __future__ import annotations

import re
import socket
from _thread import LockType, allocate_lock, start_new_thread
from contextlib import closing, suppress
from time import monotonic

from . import port_file
from .configuration import IMPLICIT, Configuration
from .errors import SHORTAGES, reason
from .net.address import resolve

LIMIT = 0.5
"""Seconds; the start of the process comes on top, and both together are to be less than one."""
_GRACE = 0.05
"""Seconds for the thread to say itself what it has waited for."""
_LINE_LIMIT = 64 * 1024
_LOOPBACK = socket.AF_INET, ("127.0.0.1",)
"""Of every interface: a server that listens on all of IPv6 takes IPv4 there, too."""
_FAULTS = (*SHORTAGES, ValueError)
"""What an attempt can come to; a ValueError is an invalid name's."""

_is_reply = re.compile(rb"[2-5][0-5][0-9]([ -].*)?").fullmatch
"""RFC 5321 section 4.2."""
_is_success = re.compile(rb"HTTP/1\.[01] 200( .*)?").fullmatch
"""RFC 9112 section 4."""


class NotReady(Exception):  # noqa: N818 - it is an answer
    """The text says why."""


def check(configuration: Configuration) -> tuple[bool, str]:
    """Whether the server is ready, and a line that says so, or why not."""
    probe = Probe(configuration)
    fault = probe.ask()
    words = ["not ready" if fault else "ready", probe.place, fault]
    return not fault, ": ".join(filter(None, words))


class Probe:
    """One question to one server."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._uses_http = configuration.http_port is not None
        self._uses_tls = not self._uses_http and configuration.tls == IMPLICIT
        self._deadline = monotonic() + LIMIT
        self._awaited = "answer"
        self._fault: str | None = None
        self.place = ""
        """What is asked, as a URL, once that is known."""

    def ask(self) -> str:
        """Why the server is not ready; nothing where it is."""
        done = allocate_lock()
        done.acquire()
        try:
            start_new_thread(self._run, (done,))
        except RuntimeError as error:  # too little memory is left for its stack
            return str(error)
        done.acquire(timeout=self._remaining() + _GRACE)
        return self._too_late() if self._fault is None else self._fault

    def _run(self, done: LockType) -> None:
        try:
            self._ask()
            self._fault = ""
        except NotReady as error:
            self._fault = str(error)
        except TimeoutError:
            self._fault = self._too_late()
        except OverflowError:
            self._fault = "no such port"
        except _FAULTS as error:
            self._fault = reason(error)
        finally:
            done.release()

    def _too_late(self) -> str:
        return f"no {self._awaited} within {LIMIT:g} s"

    def _ask(self) -> None:
        wanted = self._configuration
        host = wanted.http_host if self._uses_http else wanted.host_address
        port = (wanted.http_port if self._uses_http else wanted.port_number) or self._port_from_file()
        self._name(host, port)
        self._awaited = "address"
        family, (address, *rest) = resolve(host) or _LOOPBACK
        self._name(address, port)
        self._awaited = "connection"
        with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
            sock.settimeout(self._remaining())
            sock.connect((address, port, *rest))
            if self._uses_http:
                self._ask_http(sock, address, port)
            else:
                self._ask_smtp(sock)

    def _name(self, host: str, port: int) -> None:
        scheme = "http" if self._uses_http else "smtps" if self._uses_tls else "smtp"
        self.place = f"{scheme}://{_authority(host, port)}{'/readyz' if self._uses_http else ''}"

    def _port_from_file(self) -> int:
        path, flag = self._configuration.port_file, "-httpPort" if self._uses_http else "-port"
        if not path:
            raise NotReady(f"{flag}=0 takes any free port, and no -portFile says which")
        try:
            smtp, http = port_file.read(path)
        except (OSError, ValueError) as error:
            raise NotReady(f"port file {path}: {reason(error)}") from None
        port = http if self._uses_http else smtp
        if not port:
            raise NotReady(f"port file {path}: no HTTP port")
        return port

    def _ask_http(self, sock: socket.socket, address: str, port: int) -> None:
        # The address that a client connects to is always a name of the server's (control/gate.py).
        host = _authority(address.partition("%")[0], port)
        sock.sendall(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        self._awaited = "answer"
        line = self._line(sock)
        if not _is_success(line):
            raise NotReady(f"answered {_shown(line)}")

    def _ask_smtp(self, sock: socket.socket) -> None:
        if self._uses_tls:
            self._awaited = "TLS handshake"
            sock = self._secured(sock)
        with closing(sock):
            self._awaited = "greeting"
            line = self._line(sock)
            if not (_is_reply(line) or line == self._configured_greeting()):
                raise NotReady(f"greeted with {_shown(line)}")
            with suppress(OSError):
                self._quit(sock)

    def _configured_greeting(self) -> bytes:
        """Its first line, which may be anything."""
        text = self._configuration.msg_greeting.encode("utf-8", "surrogateescape")
        return text.partition(b"\n")[0].removesuffix(b"\r")

    def _secured(self, sock: socket.socket) -> socket.socket:
        import ssl  # only here: it takes as long as all the rest

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # whoever it is, it is ready
        sock.settimeout(self._remaining())
        try:
            return context.wrap_socket(sock)
        except ssl.SSLError as error:
            words = (error.reason or str(error)).replace("_", " ").lower()
            raise NotReady(f"TLS handshake: {words}") from None

    def _line(self, sock: socket.socket) -> bytes:
        """The first line that the server sends, without its end.

        :raises NotReady: it closes before that, or the line does not end.
        """
        received = b""
        while b"\n" not in received:
            sock.settimeout(self._remaining())
            piece = sock.recv(4096)
            received += piece
            if not piece or len(received) > _LINE_LIMIT:
                raise NotReady(f"no {self._awaited}: {'the line is too long' if piece else 'eof'}")
        return received.partition(b"\n")[0].removesuffix(b"\r")

    def _quit(self, sock: socket.socket) -> None:
        """End the session, and let the server close first: it logs no end of ours then."""
        sock.sendall(b"QUIT\r\n")
        while sock.recv(4096):
            sock.settimeout(self._remaining())

    def _remaining(self) -> float:
        """Seconds, but never none, because a time of 0 is a socket that does not block."""
        return max(self._deadline - monotonic(), 0.001)


def _authority(host: str, port: int) -> str:
    host = host.removeprefix("[").removesuffix("]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown(line: bytes) -> str:
    """What somebody sent, so that it does nothing to a terminal."""
    return ascii(line.rstrip()[:100].decode("utf-8", "backslashreplace"))
