"""MessageStore: the messages that arrived, for any number of threads.

Invariants: one lock guards everything; a purge takes exactly what it returns, so that nothing is
lost or given twice; a wait sleeps until a message arrives, and never polls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import WaitTimeoutError
from .message import Message


class MessageStore:
    """Append in one thread, read, wait and purge in others. All lists given are copies."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived = threading.Condition()

    def append(self, message: Message) -> None:
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def copy(self) -> list[Message]:
        """All messages, in order of arrival."""
        with self._arrived:
            return list(self._messages)

    def purge(self) -> list[Message]:
        """Take all messages out."""
        with self._arrived:
            return self._take()

    def wait(self, count: int, timeout: float) -> list[Message]:
        """All messages, once ``count`` are there; ``timeout`` in seconds.

        :raises WaitTimeoutError: fewer arrived in time; it carries them.
        """
        return self._wait(count, timeout, lambda: list(self._messages))

    def wait_and_purge(self, count: int, timeout: float) -> list[Message]:
        """As :meth:`wait`, and take them out in the same step; a wait that fails takes none.

        :raises WaitTimeoutError: fewer arrived in time; it carries them.
        """
        return self._wait(count, timeout, self._take)

    def _wait(self, count: int, timeout: float, result: Callable[[], list[Message]]) -> list[Message]:
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._messages) >= count, timeout):
                raise WaitTimeoutError(count, timeout, list(self._messages))
            return result()

    def _take(self) -> list[Message]:
        taken, self._messages = self._messages, []
        return taken
