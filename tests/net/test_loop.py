from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from smtpmock_cli.net.loop import READ, WRITE, Loop
from tests.helpers import PATIENCE


class Clock:
    """Time that passes when the loop would sleep for it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    made = Loop(clock)
    select = made.selector.select

    def sleep(seconds: float | None) -> object:
        clock.now += seconds or 0.0
        return select(0 if seconds is not None else PATIENCE)

    made.selector.select = sleep  # type: ignore[method-assign, assignment]
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_timers_ring_in_order_and_those_of_one_time_as_armed(loop: Loop, clock: Clock) -> None:
    rang: list[tuple[str, float]] = []
    for name, seconds in (("late", 3.0), ("a", 1.0), ("b", 1.0), ("c", 1.0), ("now", 0.0)):
        loop.call_later(seconds, lambda name=name: rang.append((name, clock.now)))  # type: ignore[misc]
    loop.call_later(3.0, loop.stop)
    loop.run()
    assert rang == [("now", 100.0), ("a", 101.0), ("b", 101.0), ("c", 101.0), ("late", 103.0)]


def test_a_timer_armed_for_now_by_a_timer_lets_the_loop_turn_first(loop: Loop) -> None:
    turns = 0

    def again() -> None:
        nonlocal turns
        turns += 1
        if turns == 10:
            loop.stop()
        loop.call_later(0.0, again)

    loop.call_later(0.0, again)
    loop.run()
    assert turns == 10


def test_a_cancelled_timer_does_not_ring(loop: Loop) -> None:
    rang: list[str] = []
    timer = loop.call_later(1.0, lambda: rang.append("cancelled"))
    timer.cancel()
    timer.cancel()
    loop.call_later(2.0, loop.stop)
    loop.run()
    assert rang == []


def test_a_timer_may_cancel_another_of_the_same_time(loop: Loop) -> None:
    rang: list[str] = []
    loop.call_later(1.0, lambda: second.cancel())
    second = loop.call_later(1.0, lambda: rang.append("second"))
    loop.call_later(1.0, loop.stop)
    loop.run()
    assert rang == []


def test_cancelled_timers_do_not_pile_up(loop: Loop) -> None:
    for _ in range(10_000):
        loop.call_later(30.0, loop.stop).cancel()
    assert len(loop._timers) < 1000


def test_timers_survive_the_sweep(loop: Loop) -> None:
    rang: list[int] = []
    timers = [loop.call_later(float(n), lambda n=n: rang.append(n)) for n in range(1000)]  # type: ignore[misc]
    for timer in timers[:990]:
        timer.cancel()
    loop.call_later(1000.0, loop.stop)
    loop.run()
    assert rang == list(range(990, 1000))


def test_a_watch_closed_in_a_turn_gets_none_of_that_turns_events(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    called: list[str] = []

    def close_the_other(name: str, other: int) -> None:
        called.append(name)
        watches[other].wait_for(0)
        loop.stop()

    watches = [
        loop.watch(pair[0], lambda: close_the_other("first", 1)),
        loop.watch(pair[1], lambda: close_the_other("second", 0)),
    ]
    for watch in watches:
        watch.wait_for(WRITE)
    loop.run()
    assert len(called) == 1


def test_a_watch_waits_for_what_it_was_told_last(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = loop.watch(ours, loop.stop)
    watch.wait_for(WRITE)
    loop.run()
    watch.wait_for(READ)
    theirs.send(b"x")
    loop.run()
    watch.wait_for(0)
    loop.call_later(1.0, loop.stop)
    loop.run()
    assert watch.events == 0


def test_another_thread_wakes_a_sleeping_loop() -> None:
    loop = Loop()
    calls: list[str] = []

    def call() -> None:
        calls.append(threading.current_thread().name)
        loop.stop()

    thread = threading.Thread(target=lambda: loop.call_from_thread(call))
    thread.start()
    loop.run()
    thread.join()
    loop.close()
    assert calls == [threading.main_thread().name]


def test_more_wake_ups_than_the_pipe_holds_are_one(loop: Loop) -> None:
    for _ in range(100_000):
        loop.wake()
    loop.call_from_thread(loop.stop)
    loop.run()
    assert not loop._calls


def test_the_log_is_written_before_what_a_turn_sends_and_after_it() -> None:
    order: list[str] = []
    loop = Loop(write_log=lambda: order.append("log"))
    loop.call_later(0.0, lambda: loop.send_at_end(lambda: order.append("send")))
    loop.call_later(0.0, loop.stop)
    loop.run()
    loop.close()
    assert order == ["log", "send", "log"]


@pytest.mark.parametrize("way", ["call_later", "send_at_end", "call_from_thread", "call_idle"])
def test_an_owner_that_raises_too_takes_nobodys_turn(way: str) -> None:
    told: list[Exception] = []
    called: list[str] = []
    loop = Loop(on_error=told.append)

    def register(callback: Callable[[], object], on_error: Callable[[Exception], None]) -> None:
        if way == "call_later":
            loop.call_later(0.0, callback, on_error)
        else:
            getattr(loop, way)(callback, on_error)

    def fail() -> None:
        raise ValueError

    def fail_too(error: Exception) -> None:
        raise MemoryError from error

    register(fail, fail_too)
    register(lambda: called.append(way), fail_too)
    register(loop.stop, fail_too)
    ending = loop.call_later(PATIENCE / 10, loop.stop)
    loop.run()
    ending.cancel()
    loop.close()
    assert [type(error) for error in told] == [MemoryError]
    assert called == [way]
