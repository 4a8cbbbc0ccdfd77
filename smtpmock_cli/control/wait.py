"""Wait: one client that waits for messages, and gets them as a listing.

Invariants: who waits is answered once, or forgotten; a listing has what was there when the wait ended, and is
made over so many turns of the loop that SMTP does not have to wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ..message import Message
from ..net.loop import Loop
from ..store import MessageStore
from .exchange import JSON, Response

_BYTES_A_TURN = 128 * 1024
"""A turn ends once it has written so much: that takes some milliseconds."""

Respond = Callable[[Response], None]


class Waits:
    """Everyone who waits."""

    def __init__(self, loop: Loop, store: MessageStore) -> None:
        self.loop = loop
        self.store = store
        # A dict for want of an ordered set.
        self.under_way: dict[Wait, None] = {}

    def begin(self, respond: Respond, count: int, timeout: float, *, purge: bool) -> Callable[[], None]:
        """Answer once ``count`` messages are there, or ``timeout`` seconds have passed; gives how to forget it.

        :param purge: take out what is answered, in the same step.
        """
        return Wait(self, respond, count, timeout, purge=purge).forget

    def close(self) -> None:
        """Answer everyone with what has arrived."""
        for wait in list(self.under_way):
            wait.hurry()


class Wait:
    """One of them."""

    def __init__(self, waits: Waits, respond: Respond, count: int, timeout: float, *, purge: bool) -> None:
        self._waits = waits
        self._respond = respond
        self._is_complete = True
        self._messages: list[Message] | None = None
        self._written: list[str] = []
        waits.under_way[self] = None
        self._timer = waits.loop.call_later(timeout, self._end)
        self._waiter = waits.store.when(count, self._list, purge=purge)

    def forget(self) -> None:
        """The client has gone."""
        self._waits.store.forget(self._waiter)
        self._over()

    def hurry(self) -> None:
        """Answer now, and in one turn."""
        if self._messages is None:
            self._end()
        while self in self._waits.under_way:
            self._write()

    def _end(self) -> None:
        """Answer with what has arrived till now."""
        messages = self._waits.store.give_up(self._waiter)
        if messages is not None:
            self._is_complete = False
            self._list(messages)

    def _list(self, messages: list[Message]) -> None:
        self._timer.cancel()
        self._messages = messages
        self._go_on()

    def _go_on(self) -> None:
        """Write some, and the others in the next turns."""
        self._write()
        if self in self._waits.under_way:
            self._timer = self._waits.loop.call_later(0, self._go_on)

    def _write(self) -> None:
        messages, size = self._messages or [], 0
        while len(self._written) < len(messages) and size < _BYTES_A_TURN:
            self._written.append(json.dumps(messages[len(self._written)].as_json()))
            size += len(self._written[-1])
        if len(self._written) == len(messages):
            self._over()
            self._respond(Response(self._listing().encode("ascii"), JSON))

    def _listing(self) -> str:
        head = json.dumps({"complete": self._is_complete, "count": len(self._written)})
        return f'{head[:-1]}, "messages": [{", ".join(self._written)}]}}'

    def _over(self) -> None:
        self._timer.cancel()
        del self._waits.under_way[self]
