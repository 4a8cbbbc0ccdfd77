"""MessageStore: the messages that arrived, for any number of threads.

Invariants: one lock guards everything; a purge takes exactly what it returns, so that nothing is
lost or given twice; who waits for ``count`` messages waits while there are fewer, in the order of
asking, and costs nothing until then.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock  # Not: threading, which costs the daemon 5 ms of its start
from bisect import bisect_left
from collections.abc import Callable, Collection

from .errors import WaitTimeoutError
from .message import Message


class Waiter:
    """Somebody who is told once a number of messages is there."""

    __slots__ = ("answer", "count", "purge")

    def __init__(self, count: int, answer: Callable[[list[Message]], None], *, purge: bool) -> None:
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
        """By the count that they wait for, which is more than there are: it is met exactly."""

    def append(self, message: Message) -> None:
        """Keep a message, and tell who waited for it, in this thread."""
        with self._lock:
            self._messages.append(message)
            if len(self._messages) not in self._waiters:
                return
            due = self._due()
        for waiter, messages in due:
            waiter.answer(messages)

    def copy(self) -> list[Message]:
        """All messages, in order of arrival."""
        with self._lock:
            return list(self._messages)

    def purge(self) -> list[Message]:
        """Take all messages out."""
        with self._lock:
            return self._take()

    def get(self, number: int) -> Message | None:
        """The message of this id, or None."""
        with self._lock:
            place = bisect_left(self._messages, number, key=lambda message: message.id)
            found = self._messages[place : place + 1]
        return found[0] if found and found[0].id == number else None

    def remove(self, numbers: Collection[int]) -> None:
        """Take out the messages of these ids; those that are not there do not matter."""
        with self._lock:
            self._messages = [message for message in self._messages if message.id not in numbers]

    def when(self, count: int, answer: Callable[[list[Message]], None], *, purge: bool = False) -> Waiter:
        """Give ``answer`` all messages, once, as soon as ``count`` are there: at once, or from :meth:`append`.

        :param purge: take them out in the same step.
        """
        waiter = Waiter(count, answer, purge=purge)
        with self._lock:
            if len(self._messages) < count:
                self._waiters.setdefault(count, []).append(waiter)
                return waiter
            messages = self._answer_to(waiter)
        answer(messages)
        return waiter

    def give_up(self, waiter: Waiter) -> list[Message] | None:
        """End a wait: what has arrived till now, a purging waiter's taken out; None where it was told already."""
        with self._lock:
            waiting = self._waiters.get(waiter.count, [])
            if waiter not in waiting:
                return None
            waiting.remove(waiter)
            if not waiting:
                del self._waiters[waiter.count]
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
        answers: list[list[Message]] = []
        answered = allocate_lock()
        answered.acquire()

        def answer(messages: list[Message]) -> None:
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
                raise WaitTimeoutError(count, timeout, messages)
            answered.acquire()  # the answer is being given in another thread
        return answers[0]

    def _due(self) -> list[tuple[Waiter, list[Message]]]:
        """Who is to be told what, now that the number of messages is one that somebody waits for."""
        due = []
        count = len(self._messages)
        waiting = self._waiters.pop(count)
        for place, waiter in enumerate(waiting, 1):
            due.append((waiter, self._answer_to(waiter)))
            if waiter.purge and waiting[place:]:
                self._waiters[count] = waiting[place:]  # nothing is left for them: they go on waiting
                break
        return due

    def _answer_to(self, waiter: Waiter) -> list[Message]:
        return self._take() if waiter.purge else list(self._messages)

    def _take(self) -> list[Message]:
        taken, self._messages = self._messages, []
        return taken
