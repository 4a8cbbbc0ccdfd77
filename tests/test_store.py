from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable

import pytest

from smtpmock_cli import Message, WaitTimeoutError
from smtpmock_cli.store import MessageStore, Snapshot
from tests import unix
from tests.helpers import PATIENCE


def messages(*numbers: int) -> list[Message]:
    made = [Message() for _ in numbers]
    for message, number in zip(made, numbers, strict=True):
        message.id = number
    return made


def numbers(given: Iterable[Message]) -> list[int]:
    return [message.id for message in given]


@pytest.fixture
def store() -> MessageStore:
    return MessageStore()


def fill(store: MessageStore, *wanted: int) -> None:
    for message in messages(*wanted):
        store.append(message)


def test_get_and_remove(store: MessageStore) -> None:
    fill(store, 1, 2, 3, 5)
    assert [getattr(store.get(number), "id", None) for number in range(7)] == [None, 1, 2, 3, None, 5, None]
    store.remove({2, 4, 5})
    assert numbers(store.copy()) == [1, 3]
    assert store.get(2) is None


def test_who_waits_is_told_once_and_at_once_where_enough_is_there(store: MessageStore) -> None:
    told: list[list[int]] = []
    for count in (2, 1, 0, 2):
        store.when(count, lambda given: told.append(numbers(given)))
    assert told == [[]]
    fill(store, 1)
    assert told == [[], [1]]
    fill(store, 2, 3)
    assert told == [[], [1], [1, 2], [1, 2]]


def test_a_purge_leaves_the_others_waiting(store: MessageStore) -> None:
    told: list[tuple[str, list[int]]] = []
    for name, purge in (("reads", False), ("takes", True), ("reads later", False)):
        store.when(2, lambda given, name=name: told.append((name, numbers(given))), purge=purge)  # type: ignore[misc]
    fill(store, 1, 2)
    assert told == [("reads", [1, 2]), ("takes", [1, 2])]
    fill(store, 3, 4)
    assert told[2:] == [("reads later", [3, 4])]
    assert numbers(store.copy()) == [3, 4]


def test_removing_puts_the_goal_further_away(store: MessageStore) -> None:
    told: list[list[int]] = []
    store.when(3, lambda given: told.append(numbers(given)))
    fill(store, 1, 2)
    store.remove({1})
    fill(store, 3)
    assert told == []
    fill(store, 4)
    assert told == [[2, 3, 4]]


def test_giving_up(store: MessageStore) -> None:
    told: list[Snapshot] = []
    waiters = [store.when(2, told.append, purge=purge) for purge in (False, True, True)]
    fill(store, 1)
    store.forget(waiters[2])
    assert [numbers(store.give_up(waiter) or []) for waiter in waiters[:2]] == [[1], [1]]
    assert store.give_up(waiters[0]) is None
    fill(store, 2, 3)
    assert told == []
    assert numbers(store.copy()) == [2, 3]


def test_what_is_put_back_is_in_its_old_place(store: MessageStore) -> None:
    fill(store, 1, 2, 5)
    taken = store.purge()
    fill(store, 6, 8)
    store.put_back(taken)
    assert numbers(store.copy()) == [1, 2, 5, 6, 8]
    assert [store.get(number) is not None for number in (1, 5, 6, 7)] == [True, True, True, False]


def test_what_is_put_back_is_given_to_who_waits_in_the_order_of_asking(store: MessageStore) -> None:
    told: list[tuple[str, list[int]]] = []
    for name, count, purge in (("three", 3, False), ("two, purging", 2, True), ("one", 1, False), ("two", 2, False)):
        store.when(count, lambda given, name=name: told.append((name, numbers(given))), purge=purge)  # type: ignore[misc]
    store.put_back(messages(1, 2, 3))
    assert told == [("three", [1, 2, 3]), ("two, purging", [1, 2, 3])]
    store.put_back(messages(4, 5))
    assert told[2:] == [("one", [4, 5]), ("two", [4, 5])]


def test_a_snapshot_stays_as_it_was(store: MessageStore) -> None:
    fill(store, 1, 2)
    before = store.snapshot()
    fill(store, 3)
    assert (before.count, numbers(before), numbers(reversed(before))) == (2, [1, 2], [2, 1])
    store.remove({1})
    store.purge()
    store.put_back(messages(9))
    assert (before.count, numbers(before), numbers(reversed(before))) == (2, [1, 2], [2, 1])
    assert numbers(store.snapshot()) == [9]


def test_many_snapshots_take_no_room(store: MessageStore) -> None:
    fill(store, *range(1, 1001))
    snapshots = [store.snapshot() for _ in range(1000)]
    assert len({id(snapshot._messages) for snapshot in snapshots}) == 1


@pytest.mark.parametrize("timeout", [0, -5.0])
def test_a_wait_without_time(store: MessageStore, timeout: float) -> None:
    fill(store, 1)
    with pytest.raises(WaitTimeoutError) as caught:
        store.wait_and_purge(2, timeout)
    assert numbers(caught.value.messages) == [1]
    assert numbers(store.wait_and_purge(1, timeout)) == [1]


@pytest.mark.parametrize("timeout", [PATIENCE, float("inf"), 1e300])
def test_threads_that_wait_are_woken(store: MessageStore, timeout: float) -> None:
    taken: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: taken.append(numbers(store.wait_and_purge(2, timeout)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    fill(store, 1, 2, 3, 4)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(taken) == [[1, 2], [3, 4]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to a thread")
def test_ctrl_c_ends_a_wait_and_takes_nothing(store: MessageStore) -> None:
    main = threading.get_ident()
    timer = threading.Timer(0.1, lambda: unix.signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        store.wait_and_purge(1, PATIENCE)
    timer.join()
    fill(store, 1)
    assert numbers(store.copy()) == [1]
