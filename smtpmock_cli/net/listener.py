"""Listener: a listening socket on the loop that hands on what it accepts.

Invariants: running out of file descriptors is not the end: accepting pauses, and goes on when a
connection has closed or a moment has passed; the last few are left to what the program has to open
meanwhile, its own modules included. Nor is it the end that the loop's selector can watch no more, which counts as the
same.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from ..errors import reason
from .address import ANY_ADDRESS, resolve
from .connection import plain
from .loop import READ, Loop, Timer

_BACKLOG = 1024
_ACCEPTS_A_TURN = 64
_RETRY_AFTER = 0.1
"""Seconds; a descriptor may come free in a part of the process that tells nobody."""
_RESERVED = 8
"""Descriptors that are not for connections; of fewer than twice as many, half."""
_FEWEST = 2
"""With fewer, no session could be served: one is the connection's, one a module's that the session needs."""
_SOON = 0.05
"""Seconds after which a start can do what the first greeting need not wait for."""
OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Why a call fails that would succeed at another time."""
_MACOS_MOST = 10_240
"""Descriptors that macOS allows where it says that there is no limit."""


def raise_descriptor_limit_soon(loop: Loop) -> None:
    """Let this process have as many descriptors as it may ask for, because each connection takes one."""
    loop.call_later(_SOON, _raise_descriptor_limit)


def _raise_descriptor_limit() -> None:
    if sys.platform != "win32":
        try:
            import resource  # only here: Windows has none
        except (ImportError, MemoryError, OSError):  # no descriptor is left for it, or no memory
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == hard:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            if soft < _MACOS_MOST:
                with suppress(OSError, ValueError):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (_MACOS_MOST, hard))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a host's name or address; ``port`` 0 takes a free one.

    :raises OSError: the host has no such address, or the port is taken or not allowed.
    :raises OverflowError: the port is not a valid one.
    :raises ValueError: the host is not a valid name.
    """
    found = resolve(host)
    if found is None:
        return _listen_everywhere(port)
    family, (address, *rest) = found
    return _bound(socket.socket(family, socket.SOCK_STREAM), (address, port, *rest))


def _listen_everywhere(port: int) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:  # a kernel without IPv6
        return _bound(socket.socket(socket.AF_INET, socket.SOCK_STREAM), ("0.0.0.0", port))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return _bound(sock, ("::", port))


def _bound(sock: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        if sys.platform == "win32":
            # There, SO_REUSEADDR would let a second server take the port away from the first.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by what is accepted: replies to pipelined commands must not wait for each other.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


class Listener:
    """Accepts on a listening socket, which it owns.

    :param accepted: takes each new socket, non-blocking, and its peer's address and port.
    :param trouble: told in words when accepting has to pause.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        accepted: Callable[[socket.socket, tuple[str, int]], None],
        trouble: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        self._trouble = trouble
        self._retry: Timer | None = None
        self._lowest = 0
        """The first descriptor that was free when all listeners were open."""
        self._reserved_from = sys.maxsize
        self._limit = loop.limit
        self._is_tight = loop.limit is not None
        self._watch = loop.watch(sock, self._accept, self._accept_failed)
        try:
            self._watch.wait_for(READ)
        except OSError:
            sock.close()
            raise

    @property
    def host(self) -> str:
        """The address that clients connect to; empty where it may be any of this machine's."""
        host = plain(self._sock.getsockname())[0]
        return "" if host in ANY_ADDRESS else host

    @property
    def port(self) -> int:
        port: int = self._sock.getsockname()[1]
        return port

    def reserve(self) -> None:
        """Keep some descriptors for what is not a connection, now that everything else is open.

        :raises OSError: too few are left.
        """
        limit = self._descriptor_limit()
        if limit == sys.maxsize:
            return
        self._lowest = self._next_descriptor()
        if limit - self._lowest < _FEWEST:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._reserved_from = self._reservation()

    def resume(self) -> None:
        """A descriptor came free; harmless where accepting had not paused."""
        if self._retry is not None and self._has_room():
            self._retry.cancel()
            self._retry = None
            try:
                self._watch.wait_for(READ)
            except OSError as error:
                self._pause(error)

    def close(self) -> None:
        """Stop listening at once."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._watch.wait_for(0)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            if self._is_tight and not self._has_room():
                self._pause(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
                return
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._pause(error)
                    return
                continue  # the peer left between connecting and being accepted
            if not address:  # macOS, where the peer has reset already
                sock.close()
                continue
            sock.setblocking(False)
            if self._limit is not None:
                self._limit.count(sock)
            # Once so many are taken, a low number says nothing any more: the kernel gives the lowest that is free.
            self._is_tight = self._is_tight or sock.fileno() >= self._reserved_from
            try:
                self._accepted(sock, plain(address))
            except BaseException:
                sock.close()
                raise

    def _accept_failed(self, error: Exception) -> None:
        """Go on a moment later, because what failed may fail again at once."""
        self._loop.on_error(error)
        self._rest()

    def _rest(self) -> None:
        self._watch.wait_for(0)
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._loop.call_later(_RETRY_AFTER, self._try_again, self._accept_failed)

    def _pause(self, error: OSError) -> None:
        self._rest()
        self._trouble(f"accept tcp: {reason(error)}")

    def _try_again(self) -> None:
        self._retry = self._loop.call_later(_RETRY_AFTER, self._try_again, self._accept_failed)
        self.resume()

    def _has_room(self) -> bool:
        """Whether the next connection could be watched, and would get a descriptor that is for connections."""
        if self._limit is not None and not self._limit.has_room():
            return False
        if self._descriptor_limit() == sys.maxsize:
            return True
        self._reserved_from = self._reservation()  # it may have been raised
        try:
            return self._next_descriptor() < self._reserved_from
        except OSError:
            return False

    def _next_descriptor(self) -> int:
        """The lowest that is free.

        :raises OSError: none is.
        """
        fd = os.dup(self._sock.fileno())
        os.close(fd)
        return fd

    def _reservation(self) -> int:
        """The first number that is not for connections."""
        limit = self._descriptor_limit()
        return limit - min(_RESERVED, (limit - self._lowest) // 2)

    def _descriptor_limit(self) -> int:
        """The first number that a connection's descriptor may not have."""
        limit = _descriptor_limit()
        return limit if self._limit is None else min(limit, self._limit.below)


def _descriptor_limit() -> int:
    """How many descriptors this process may have."""
    if sys.platform != "win32":
        with suppress(OSError, ValueError):
            limit = os.sysconf("SC_OPEN_MAX")
            if limit > 0:  # there may be none
                return limit
    return sys.maxsize
