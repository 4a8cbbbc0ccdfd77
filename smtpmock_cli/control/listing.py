"""Listings: clients that get all messages, once enough of them are there.

Invariants: each is answered once, or cancelled; it gets what was there when its wait ended; what a purging one took
is put back unless the whole answer was sent; nothing refers to a listing once it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..store import MessageStore, Snapshot, Waiter
from .exchange import Response, Scheduler
from .json_pieces import Written, long_json_response, message_pieces

_FREED_AT_ONCE = 500
"""How many messages are freed in a step: one takes about a microsecond and a half."""

Respond = Callable[[Response], None]
CallIdle = Callable[[Callable[[], None]], None]


class PendingListings:
    """The listings that have not been answered.

    :param call_idle: calls back when all else is done.
    """

    def __init__(self, store: MessageStore, call_idle: CallIdle) -> None:
        self.store = store
        self.call_idle = call_idle
        # A dict for want of an ordered set.
        self.waiting: dict[PendingListing, None] = {}

    def begin(
        self, respond: Respond, scheduler: Scheduler, count: int, timeout: float, *, purge: bool
    ) -> Callable[[], None]:
        """Answer once ``count`` messages are there, or ``timeout`` seconds have passed; returns how to cancel it.

        :param purge: take out what is answered, in the same step.
        """
        return PendingListing(self, respond, scheduler, count, timeout, purge=purge).cancel

    def close(self) -> None:
        """Answer everyone with what has arrived."""
        for listing in list(self.waiting):
            listing.time_out()


class PendingListing:
    """One client that waits, and then is answered."""

    def __init__(
        self,
        all_pending: PendingListings,
        respond: Respond,
        scheduler: Scheduler,
        count: int,
        timeout: float,
        *,
        purge: bool,
    ) -> None:
        self._all = all_pending
        self._store = all_pending.store
        self._respond: Respond | None = respond
        self._scheduler = scheduler
        self._purge = purge
        self._is_complete = True
        self._messages: Snapshot | None = None
        self._waiter: Waiter | None = None
        self._timer = scheduler.call_later(timeout, self.time_out)
        all_pending.waiting[self] = None
        waiter = self._store.when(count, self._arrived, purge=purge)
        if self._messages is None:
            self._waiter = waiter

    def cancel(self) -> None:
        """The client has left before it was answered."""
        self._respond = None
        if self._waiter is not None:
            self._store.forget(self._waiter)
            self._stop_waiting()
        else:
            self._ended(False)

    def time_out(self) -> None:
        """Answer with what has arrived."""
        messages = self._store.give_up(self._waiter) if self._waiter is not None else None
        if messages is not None:
            self._is_complete = False
            self._arrived(messages)

    def _arrived(self, messages: Snapshot) -> None:
        # Not: answer now, because this is in the midst of the session that brought the last one.
        self._messages = messages
        self._stop_waiting()
        self._scheduler.call_idle(self._answer)

    def _stop_waiting(self) -> None:
        self._waiter = None
        self._timer.cancel()
        self._all.waiting.pop(self, None)

    def _answer(self) -> None:
        respond, self._respond = self._respond, None
        if respond is None or self._messages is None:  # cancelled meanwhile
            return
        response = long_json_response(
            {
                "complete": self._is_complete,
                "count": self._messages.count,
                "messages": (Written(message_pieces(message)) for message in self._messages),
            }
        )
        if self._purge:
            response.ended = self._ended
        respond(response)

    def _ended(self, is_sent: bool) -> None:
        messages, self._messages = self._messages, None
        if messages is None or not self._purge:
            return
        if is_sent:
            free(messages, self._all.call_idle)
        else:
            self._store.put_back(messages)


def free(messages: Iterable[object], call_idle: CallIdle) -> None:
    """Free many objects, some at a time: freeing a hundred thousand takes a tenth of a second."""
    _Freeing(list(messages), call_idle).step()


class _Freeing:
    def __init__(self, rest: list[object], call_idle: CallIdle) -> None:
        self._rest = rest
        self._call_idle = call_idle

    def step(self) -> None:
        del self._rest[-_FREED_AT_ONCE:]
        if self._rest:
            self._call_idle(self.step)
