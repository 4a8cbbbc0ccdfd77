"""Connection: a non-blocking socket on the loop that carries bytes for a protocol.

Invariants: while bytes wait to go out, none are read, so a peer that does not read its replies is
not read from; ``ended`` is told exactly once; an orderly close waits for the peer's own end, because
closing a socket with unread input makes the kernel send a reset that can swallow the last reply.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol as Interface

from .loop import READ, WRITE, Loop, Timer

# Below malloc's threshold for mapping fresh pages: a larger buffer would be mapped anew each time.
_CHUNK = 96 * 1024
_LINGER = 2.0
"""How long, in seconds, a closed connection waits for its peer's end."""
_NEVER = float("inf")


class Protocol(Interface):
    """What speaks over a connection. Each call may send, pause or close."""

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""

    def end_received(self) -> None:
        """The peer will send no more."""

    def sent(self) -> None:
        """All that had to wait is on its way now; the protocol may go on."""

    def timed_out(self, *, sending: bool) -> None:
        """The deadline passed: the peer sent nothing, or did not take what was sent to it."""

    def failed(self, error: OSError, *, sending: bool) -> None:
        """The socket is of no use any more, and is cut next."""


class Connection:
    """Bytes out, bytes in, one deadline, and a close that loses nothing."""

    def __init__(
        self, loop: Loop, sock: socket.socket, client: tuple[str, int], ended: Callable[[Connection], None]
    ) -> None:
        self.protocol: Protocol
        self.client = client
        self._loop = loop
        self._sock = sock
        self._ended = ended
        self._watch = loop.watch(sock, self._ready)
        self._unsent = b""
        self._reading = True
        self._input_ended = False
        self._closing = False
        self._is_open = True
        self._deadline = _NEVER
        self._timer: Timer | None = None

    @property
    def server(self) -> tuple[str, int]:
        """The address that the client had connected to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Wait for the peer's bytes from now on."""
        self._rearm()

    def send(self, data: bytes) -> bool:
        """Send; False where some of it has to wait, and then :meth:`Protocol.sent` follows."""
        if self._unsent:
            self._unsent += data
            return False
        try:
            count = self._sock.send(data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._fail(error, sending=True)
            return False
        if count == len(data):
            return True
        self._unsent = data[count:]
        self._rearm()
        return False

    def pause(self) -> None:
        """Read nothing until :meth:`resume`."""
        self._reading = False
        self._rearm()

    def resume(self) -> None:
        self._reading = True
        self._rearm()

    def set_deadline(self, seconds: float) -> None:
        """Tell the protocol if so many seconds pass before the deadline is set anew."""
        self._deadline = self._loop.clock() + seconds
        # The one timer looks again when it rings: a later deadline costs nothing.
        if self._timer is None or self._deadline < self._timer.when:
            self._arm_timer()

    def clear_deadline(self) -> None:
        self._deadline = _NEVER

    def close(self) -> None:
        """Send what waits, then end our side, then wait a little for the peer's end."""
        if not self._is_open or self._closing:
            return
        self._closing = True
        self.set_deadline(_LINGER)
        if not self._unsent:
            self._end_output()

    def cut(self) -> None:
        """Close at once, whatever is under way."""
        if not self._is_open:
            return
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        self._watch.wait_for(0)
        self._sock.close()
        self._ended(self)

    def _ready(self, ready: int) -> None:
        if ready & WRITE:
            self._send_rest()
        else:
            self._receive()

    def _rearm(self) -> None:
        if not self._is_open:
            return
        if self._unsent:
            self._watch.wait_for(WRITE)
        elif self._closing or (self._reading and not self._input_ended):
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
        if self._closing:
            if not data:
                self.cut()
        elif data:
            self.protocol.data_received(data)
        else:
            self._input_ended = True
            self._rearm()
            self.protocol.end_received()

    def _send_rest(self) -> None:
        try:
            count = self._sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error, sending=True)
            return
        self._unsent = self._unsent[count:]
        if self._unsent:
            return
        self._rearm()
        if self._closing:
            self._end_output()
        else:
            self.protocol.sent()

    def _end_output(self) -> None:
        if self._input_ended:
            self.cut()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer is gone already
            self.cut()
            return
        self._rearm()

    def _fail(self, error: OSError, *, sending: bool) -> None:
        if not self._closing:
            self._closing = True
            self.protocol.failed(error, sending=sending)
        self.cut()

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._deadline_reached)

    def _deadline_reached(self) -> None:
        self._timer = None
        if self._deadline == _NEVER:
            return
        if self._deadline > self._loop.clock():
            self._arm_timer()
        elif self._closing:
            self.cut()
        else:
            self.protocol.timed_out(sending=bool(self._unsent))
