"""MessageStore: the messages that arrived, for any number of threads.

Invariants: one lock guards everything; a purge takes exactly what it returns, so that nothing is
lost or given twice, and what could not be delivered can be put back in its place; who waits for
``count`` messages waits while there are fewer, in the order of asking, and costs nothing until then;
the list of messages only grows until it is replaced, so that a snapshot is no copy.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock  # Not: threading, which costs the daemon 5 ms of its start
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from .errors import WaitTimeoutError
from .message import Message


class Snapshot:
    """The messages that there were at a moment, in the order of their ids; many snapshots share one list."""

    __slots__ = ("_messages", "count")

    def __init__(self, messages: list[Message], count: int) -> None:
        self._messages = messages
        self.count = count

    def __iter__(self) -> Iterator[Message]:
        return islice(self._messages, self.count)

    def __reversed__(self) -> Iterator[Message]:
        return (self._messages[place] for place in range(self.count - 1, -1, -1))


class Waiter:
    """Somebody who is told once a number of messages is there."""

    __slots__ = ("answer", "count", "number", "purge")

    def __init__(self, number: int, count: int, answer: Callable[[Snapshot], None], *, purge: bool) -> None:
        self.number = number
        self.count = count
        self.answer = answer
        self.purge = purge


class MessageStore:
    """Append in one thread, read, wait and purge in others. All lists given are copies.

    Messages come in the order of their ids.
    """

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._messages: list[Message] = []
        self._waiters: dict[int, list[Waiter]] = {}
        """By the count that they wait for, which is more than there are."""
        self._waiter_count = 0

    def append(self, message: Message) -> None:
        """Keep a message, and tell who waited for it, in this thread."""
        with self._lock:
            self._messages.append(message)
            if len(self._messages) not in self._waiters:
                return
            due = self._due()
        for waiter, messages in due:
            waiter.answer(messages)

    def put_back(self, taken: Iterable[Message]) -> None:
        """Keep messages again that a purge took, each in its old place, and tell who waited for as many."""
        with self._lock:
            self._messages = sorted([*taken, *self._messages], key=lambda message: message.id)
            due = self._due()
        for waiter, messages in due:
            waiter.answer(messages)

    def copy(self) -> list[Message]:
        """All messages, in order of arrival."""
        with self._lock:
            return list(self._messages)

    def snapshot(self) -> Snapshot:
        """All messages, in order of arrival, at no cost."""
        with self._lock:
            return self._all()

    def purge(self) -> list[Message]:
        """Take all messages out."""
        with self._lock:
            taken = self._take()
        return list(taken)

    def get(self, number: int) -> Message | None:
        """The message of this id, or None."""
        with self._lock:
            place = bisect_left(self._messages, number, key=lambda message: message.id)
            found = self._messages[place : place + 1]
        return found[0] if found and found[0].id == number else None

    def remove(self, numbers: Collection[int]) -> list[Message]:
        """Take out the messages of these ids; those that are not there do not matter. Returns what it took."""
        removed: list[Message] = []
        with self._lock:
            kept: list[Message] = []
            for message in self._messages:
                (removed if message.id in numbers else kept).append(message)
            self._messages = kept
        return removed

    def when(self, count: int, answer: Callable[[Snapshot], None], *, purge: bool = False) -> Waiter:
        """Give ``answer`` all messages, once, as soon as ``count`` are there: at once, or from :meth:`append`.

        :param purge: take them out in the same step.
        """
        with self._lock:
            self._waiter_count += 1
            waiter = Waiter(self._waiter_count, count, answer, purge=purge)
            if len(self._messages) < count:
                self._waiters.setdefault(count, []).append(waiter)
                return waiter
            messages = self._answer_to(waiter)
        answer(messages)
        return waiter

    def give_up(self, waiter: Waiter) -> Snapshot | None:
        """End a wait: what has arrived till now, a purging waiter's taken out; None where it was told already."""
        with self._lock:
            if waiter not in self._waiters.get(waiter.count, []):
                return None
            self._drop(waiter)
            return self._answer_to(waiter)

    def forget(self, waiter: Waiter) -> None:
        """End a wait without an answer, and take nothing out."""
        waiter.purge = False
        self.give_up(waiter)

    def wait(self, count: int, timeout: float) -> list[Message]:
        """All messages, once ``count`` are there; ``timeout`` in seconds.

        :raises WaitTimeoutError: fewer arrived in time; it carries them.
        """
        return self._wait(count, timeout, purge=False)

    def wait_and_purge(self, count: int, timeout: float) -> list[Message]:
        """As :meth:`wait`, and take them out in the same step; a wait that fails takes none.

        :raises WaitTimeoutError: fewer arrived in time; it carries them.
        """
        return self._wait(count, timeout, purge=True)

    def _wait(self, count: int, timeout: float, *, purge: bool) -> list[Message]:
        answers: list[Snapshot] = []
        answered = allocate_lock()
        answered.acquire()

        def answer(messages: Snapshot) -> None:
            answers.append(messages)
            answered.release()

        waiter = self.when(count, answer, purge=purge)
        try:
            in_time = answered.acquire(timeout=min(max(timeout, 0), TIMEOUT_MAX))
        except BaseException:  # as Ctrl+C: nobody is there to take the messages
            self.forget(waiter)
            raise
        if not in_time:
            waiter.purge = False
            messages = self.give_up(waiter)
            if messages is not None:
                raise WaitTimeoutError(count, timeout, list(messages))
            answered.acquire()  # the answer is being given in another thread
        return list(answers[0])

    def _due(self) -> list[tuple[Waiter, Snapshot]]:
        """The waiters that the current count satisfies, with their messages."""
        counts = [count for count in self._waiters if count <= len(self._messages)]
        ready = sorted((waiter for count in counts for waiter in self._waiters[count]), key=lambda one: one.number)
        due = []
        for waiter in ready:
            if waiter.count > len(self._messages):  # one before it has purged: it goes on waiting
                continue
            self._drop(waiter)
            due.append((waiter, self._answer_to(waiter)))
        return due

    def _drop(self, waiter: Waiter) -> None:
        waiting = self._waiters[waiter.count]
        waiting.remove(waiter)
        if not waiting:
            del self._waiters[waiter.count]

    def _answer_to(self, waiter: Waiter) -> Snapshot:
        return self._take() if waiter.purge else self._all()

    def _take(self) -> Snapshot:
        taken = self._all()
        self._messages = []
        return taken

    def _all(self) -> Snapshot:
        return Snapshot(self._messages, len(self._messages))
