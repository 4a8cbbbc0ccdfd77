"""Connection: a non-blocking socket on the loop that carries bytes for a protocol.

Invariants: while the kernel takes no more bytes, none are read, so a peer that does not read its
replies is not read from; ``ended`` is told exactly once; an orderly close waits for the peer's own
end, because closing a socket with unread input makes the kernel send a reset that can swallow the
last reply; whatever a callback of this connection raises, its protocol's timers and steps included, ends
this connection and nothing else.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any
from typing import Protocol as Interface

from .loop import READ, WRITE, Loop, Timer

# Below malloc's threshold for mapping fresh pages: with 256 KiB, each read cost six times as much.
_CHUNK = 96 * 1024
_LINGER = 2.0
"""How long, in seconds, a closed connection waits for its peer's end."""
_SHORT_LINGER = 0.1
"""The same while the server shuts down."""
_NEVER = float("inf")
_NOBODY: Any = None
"""In the place of a protocol where none is called: on a connection that is only being closed."""


def plain(address: tuple[Any, ...]) -> tuple[str, int]:
    """A socket's address as host and port; one of IPv4 that came by an IPv6 socket as what it is."""
    host, port = address[:2]
    return (host.removeprefix("::ffff:") if "." in host else host), port


def host_port(address: tuple[str, int]) -> str:
    """An address as the log has it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Protocol(Interface):
    """What speaks over a connection. Each call may send, pause or close."""

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""

    def end_received(self) -> None:
        """The peer will send no more."""

    def sent(self) -> None:
        """A blocked connection is free again."""

    def timed_out(self, *, sending: bool) -> None:
        """The deadline passed: the peer sent nothing, or did not take what was sent to it."""

    def failed(self, error: OSError, *, sending: bool) -> None:
        """The socket is of no use any more, and is cut next."""

    def dropped(self) -> None:
        """The connection is cut next, because a callback raised."""


class _Phase(Enum):
    """What a connection does."""

    OPEN = "carry bytes"
    CLOSING = "send what waits, end our side, wait for the peer's end"
    RESETTING = "send what waits, and break off"
    CLOSED = "nothing"


# Looked up for every read and write, and slow to find in an Enum.
_OPEN, _CLOSING, _RESETTING, _CLOSED = _Phase


class Connection:
    """Bytes out, bytes in, one deadline, and a close that loses nothing."""

    __slots__ = (
        "_deadline",
        "_ended",
        "_input_ended",
        "_linger",
        "_loop",
        "_patience",
        "_phase",
        "_reading",
        "_sock",
        "_timer",
        "_unsent",
        "_watch",
        "client",
        "is_blocked",
        "protocol",
    )

    def __init__(
        self, loop: Loop, sock: socket.socket, client: tuple[str, int], ended: Callable[[Connection], None]
    ) -> None:
        self.protocol: Protocol = _NOBODY
        self.client = client
        self.is_blocked = False
        """Whether the kernel takes no more bytes; :meth:`Protocol.sent` tells when it does again."""
        self._loop = loop
        self._sock = sock
        self._ended = ended
        self._watch = loop.watch(sock, self._receive, self._callback_failed)
        self._unsent: bytes | memoryview = b""
        self._reading = True
        self._input_ended = False
        self._linger = _LINGER
        self._phase = _OPEN
        self._deadline = _NEVER
        self._patience = _NEVER
        self._timer: Timer | None = None

    @property
    def server(self) -> tuple[str, int]:
        """The address that the client had connected to."""
        return plain(self._sock.getsockname())

    @property
    def is_sending(self) -> bool:
        """Whether something of what was to be sent has not gone out."""
        return bool(self._unsent)

    def has_input_ended(self) -> bool:
        """Whether the peer has said that it sends no more, though that may not have been read yet."""
        if self._phase is _OPEN and not self._input_ended:
            try:
                return self._sock.recv(1, socket.MSG_PEEK) == b""
            except OSError:  # nothing to read, or a reset that the next call meets
                return False
        return self._input_ended

    @property
    def is_reset(self) -> bool:
        """Whether the peer has answered what was sent with a reset, which nothing else tells once its input ended.

        Not on Windows: there, only the next :meth:`send` fails.
        """
        return self._phase is _CLOSED or self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def start(self) -> None:
        """Wait for the peer's bytes from now on."""
        self._rearm()

    def run(self, callback: Callable[[], None]) -> None:
        """Call back at once, as the loop would: what the callback raises ends this connection."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - as in the loop
            self._callback_failed(error)

    def send(self, data: bytes) -> None:
        """Send at the end of the loop's turn, in order."""
        if self._unsent:
            self._unsent = b"".join((self._unsent, data))
        else:
            self._unsent = data
            self._loop.send_at_end(self._send, self._callback_failed)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """As the loop's; what the callback raises ends this connection."""
        return self._loop.call_later(seconds, callback, self._callback_failed)

    def call_idle(self, callback: Callable[[], None]) -> None:
        """As the loop's; what the callback raises ends this connection."""
        self._loop.call_idle(callback, self._callback_failed)

    def pause(self) -> None:
        """Read nothing until :meth:`resume`."""
        self._reading = False
        self._rearm()

    def resume(self) -> None:
        self._reading = True
        self._rearm()

    def set_deadline(self, seconds: float) -> None:
        """Tell the protocol if so many seconds pass before the deadline is set anew.

        A peer that takes some of what it had blocked gets them again.
        """
        self._patience = seconds
        self._deadline = self._loop.now + seconds
        # The one timer looks again when it rings: a later deadline costs nothing.
        if self._timer is None or self._deadline < self._timer.when:
            self._arm_timer()

    def clear_deadline(self) -> None:
        self._deadline = _NEVER

    def close(self) -> None:
        """Send what waits, then end our side, then wait a little for the peer's end."""
        if self._phase is not _OPEN:
            return
        self._phase = _CLOSING
        self.set_deadline(_LINGER)
        if not self._unsent:
            self._end_output()

    def hurry(self) -> None:
        """Once closed and sent, wait only a moment for the peer's end: the server shuts down."""
        self._linger = _SHORT_LINGER
        if self._phase is _CLOSING and not self._unsent:
            self.set_deadline(_SHORT_LINGER)

    def reset(self) -> None:
        """Send what waits, then break off, so that the peer meets a reset."""
        if self._phase is not _OPEN:
            return
        self._phase = _RESETTING
        self.set_deadline(_LINGER)
        if not self._unsent:
            self._loop.send_at_end(self._end_output, self._callback_failed)

    def cut(self) -> None:
        """Close at once, whatever is under way."""
        if self._phase is _CLOSED:
            return
        self._phase = _CLOSED
        if self._timer is not None:
            self._timer.cancel()
        self._watch.close()
        self._sock.close()
        # Cycles that only the garbage collector would find could hold a large body for a long time.
        self.protocol = _NOBODY
        self._ended(self)

    def _rearm(self) -> None:
        if self._phase is _CLOSED:
            return
        if self.is_blocked:
            self._watch.wait_for(WRITE)
        elif self._phase is not _OPEN or (self._reading and not self._input_ended):
            self._watch.wait_for(READ)
        else:
            self._watch.wait_for(0)

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error, sending=False)
            return
        if data:
            if self._phase is _OPEN:
                self.protocol.data_received(data)
        else:
            self._meet_end()

    def _meet_end(self) -> None:
        if self._phase is not _OPEN:
            self.cut()
            return
        self._input_ended = True
        self._rearm()
        self.protocol.end_received()

    def _send(self) -> None:
        if self._phase is _CLOSED:
            return
        try:
            count = self._sock.send(self._unsent)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._fail(error, sending=True)
            return
        if self.is_blocked and count:
            self.set_deadline(self._patience)
        if count < len(self._unsent):
            self._unsent = memoryview(self._unsent)[count:]  # a copy each time would cost its length's square
            self._block()
        else:
            self._unsent = b""
            self._sent_all()

    def _block(self) -> None:
        self.is_blocked = True
        self._watch.callback = self._send
        self._rearm()

    def _sent_all(self) -> None:
        was_blocked, self.is_blocked = self.is_blocked, False
        if was_blocked:
            self._watch.callback = self._receive
            self._rearm()
        if self._phase is not _OPEN:
            self._end_output()
        elif was_blocked:
            self.protocol.sent()

    def _end_output(self) -> None:
        if self._phase is _RESETTING:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _no_linger())
        if self._input_ended or self._phase is _RESETTING:
            self.cut()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer is gone already
            self.cut()
            return
        if self._linger < _LINGER:
            self.set_deadline(self._linger)
        self._rearm()

    def _fail(self, error: OSError, *, sending: bool) -> None:
        if self._phase is _OPEN:
            self._phase = _CLOSING
            self.protocol.failed(error, sending=sending)
        self.cut()

    def _callback_failed(self, error: Exception) -> None:
        self._loop.on_error(error)
        self._phase = _CLOSING if self._phase is _OPEN else self._phase
        try:
            self.protocol.dropped()
        except Exception as another:  # noqa: BLE001 - it may be what was broken in the first place
            self._loop.on_error(another)
        finally:
            self.cut()

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._deadline_reached, self._callback_failed)

    def _deadline_reached(self) -> None:
        self._timer = None
        if self._deadline == _NEVER:
            return
        if self._deadline > self._loop.now:
            self._arm_timer()
        elif self._phase is not _OPEN:
            self.cut()
        else:
            self.protocol.timed_out(sending=self.is_blocked)


def _no_linger() -> bytes:
    """The value of SO_LINGER that makes closing a reset."""
    import struct  # only here: resets are by a rule

    return struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
