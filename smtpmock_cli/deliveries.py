"""Deliveries: the messages that sessions end, numbered, and kept where somebody can read them.

Invariant: numbers go up from 1, in the store and in the file alike, over all starts of a server.
"""

from __future__ import annotations

from .message import Message

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from .log import Log
    from .messages_file import MessagesFile
    from .net.loop import Loop
    from .store import MessageStore


class Deliveries:
    """Takes each message once.

    :param in_memory: whether messages are kept in a store.
    """

    def __init__(self, *, in_memory: bool) -> None:
        self._count = 0
        self.store: MessageStore | None = None
        """Where the messages are, if they are kept in memory."""
        self._file: MessagesFile | None = None
        if in_memory:
            from .store import MessageStore  # only here: a file needs none

            self.store = MessageStore()

    def write_to(self, path: str, log: Log, loop: Loop) -> None:
        """Append each to a file from now on, as a line of JSON; no path is no file.

        :raises ServerStartError: the file cannot be written to.
        """
        self._file = None
        if path:
            from .messages_file import MessagesFile  # only here: JSON is of some weight

            self._file = MessagesFile(path, log, loop)

    def close(self) -> None:
        """Write no more to a file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def take(self, message: Message) -> None:
        """Number a message and keep it."""
        self._count += 1
        message.id = self._count
        if self.store is not None:
            self.store.append(message)
        if self._file is not None:
            self._file.append(message)
