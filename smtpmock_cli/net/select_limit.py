"""LimitedSelector: select(), where the platform has nothing better, and how much it can watch.

    Windows      512 sockets in a list, whatever their numbers: the FD_SETSIZE that CPython is built with
    elsewhere    descriptors below 1024, however few: the C library's FD_SETSIZE, a set's one bit for each

Invariants: what select() cannot watch is refused when it is registered, because from then on every call would fail,
for all that is watched; what makes a call fail all the same is reported as ready, so that its owner meets the error.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import sys

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

WINDOWS_SOCKETS = 512
POSIX_DESCRIPTORS = 1024
_RESERVED = 8
"""Watched sockets that are not connections: the listeners' and the wake-up's, and a few to spare."""


def limits(platform: str = sys.platform) -> tuple[int, int]:
    """How much select() can watch there, and below which number a descriptor has to be."""
    return (WINDOWS_SOCKETS, sys.maxsize) if platform == "win32" else (sys.maxsize, POSIX_DESCRIPTORS)


def connections(most: int) -> int:
    """How many of those that can be watched may be connections."""
    # Not: two bounds, though on Windows the sockets to read from and those to write to have a list of 512 each.
    # All clients may be waited for to send at the same time, also those that take nothing or are to wait now.
    return most - min(_RESERVED, most // 2)


class LimitedSelector(selectors.SelectSelector):
    """Watches no more than select() can, and counts the connections that are open.

    :param most: how much it can watch.
    :param below: the first number of a descriptor that it can't watch.
    """

    def __init__(self, most: int, below: int) -> None:
        super().__init__()
        self.below = below
        self._most = most
        self._most_connections = connections(most)
        self._connections: list[socket.socket] = []

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch it.

        :raises OSError: it can't be watched, or not now.
        """
        key = super().register(fileobj, events, data)
        if key.fd >= self.below or len(self.get_map()) > self._most:
            self.unregister(fileobj)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready within ``timeout`` seconds; None waits as long as it takes."""
        try:
            return super().select(timeout)
        except (OSError, ValueError):
            closed = [(key, key.events) for key in self.get_map().values() if not _can_be_watched(key.fd)]
            if not closed:
                raise
            return closed

    def count(self, connection: socket.socket) -> None:
        """Let a socket be one of the connections until it is closed."""
        if self._most < sys.maxsize:  # else nobody would ever look for those that are closed
            self._connections.append(connection)

    def has_room(self) -> bool:
        """Whether there may be one more connection."""
        # Looked for only when it seems full, because nobody says which socket is closed.
        if len(self._connections) >= self._most_connections:
            self._connections = [sock for sock in self._connections if sock.fileno() >= 0]
        return len(self._connections) < self._most_connections


def _can_be_watched(fd: int) -> bool:
    try:
        select.select([fd], [], [], 0)
    except (OSError, ValueError):
        return False
    return True
