"""A small event loop: watched sockets, timers, and a wake-up from other threads and signals.

Invariants: everything runs in the thread that runs the loop, but for :meth:`Loop.call_from_thread`;
a watch that waits for nothing gets no event, not even one that the same turn had already collected;
what a turn has to send goes out together at its end, after its log, so that a peer that has a reply
can find it in the log, and is woken once; with nothing to do the loop sleeps without a tick.

One iteration: wait → calls from other threads → sockets → timers → log → sends → a slice of idle work.
Idle work is what may take long (:meth:`Loop.call_idle`): each callback does one small step of it and asks
to be called again, so that however much of it there is, no reply waits for more than a slice.

Every callback has an owner, which is called with what the callback raises: a connection, which ends; or
nobody, then the loop's ``on_error``. Either way the loop goes on with the next callback.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from _thread import start_new_thread  # Not: threading, which costs the daemon 5 ms of its start
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

TYPE_CHECKING = False  # not from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import TypeVar

    from .select_limit import LimitedSelector

    T = TypeVar("T")

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

Callback = Callable[[], object]
OnError = Callable[[Exception], None]

_TIMERS_WORTH_SWEEPING = 64
_IDLE_SLICE = 0.004
"""Seconds of an iteration after which no further step of idle work begins."""
_RETRY_AFTER = 0.1
"""Seconds after which a selector that refuses is asked again."""
_LONGEST_SLEEP = 86400.0
"""Seconds; more than some selectors can be told, and a timer may be years away."""


class Watch:
    """A socket's or descriptor's registration. ``events`` is what it waits for: READ, WRITE, or 0 for nothing."""

    __slots__ = ("_loop", "_sock", "callback", "events", "on_error")

    def __init__(self, loop: Loop, sock: socket.socket | int, callback: Callback, on_error: OnError) -> None:
        self._loop = loop
        self._sock = sock
        self.callback = callback
        self.on_error = on_error
        self.events = 0

    def wait_for(self, events: int) -> None:
        """Change what to wait for; 0 waits for nothing and keeps the watch.

        :raises OSError: the selector refuses; the watch waits for nothing then.
        """
        before = self.events
        if events == before:
            return
        self.events = 0  # which a selector that refuses makes true, also where it watched before
        selector = self._loop.selector
        if not events:
            selector.unregister(self._sock)
        elif not before:
            selector.register(self._sock, events, self)
        else:
            selector.modify(self._sock, events, self)
        self.events = events

    def close(self) -> None:
        """Stop watching and drop the callback."""
        self.wait_for(0)
        self.callback = _nobody
        self.on_error = self._loop.on_error


class Timer:
    """A call to come. Its time is the loop's clock's, in seconds."""

    __slots__ = ("_loop", "callback", "on_error", "when")

    def __init__(self, loop: Loop, when: float, callback: Callback, on_error: OnError) -> None:
        self._loop = loop
        self.when = when
        self.callback: Callback | None = callback
        self.on_error = on_error

    def take(self) -> tuple[Callback, OnError]:
        """What to call, and its owner; the timer lets go of both."""
        taken = self.callback or _nobody, self.on_error
        self.callback = None
        self.on_error = self._loop.on_error
        return taken

    def cancel(self) -> None:
        """Take the call back; harmless where it was made or taken back already."""
        self.take()
        self._loop.sweep_timers()


class Loop:
    """Waits for sockets and timers and calls back.

    :param clock: gives seconds that never go back.
    :param write_log: called when something may have been logged, before the loop sleeps again.
    :param on_error: called with what a callback raises that has no owner; by default it ends :meth:`run`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        write_log: Callback = lambda: None,
        on_error: OnError | None = None,
    ) -> None:
        self.limit: LimitedSelector | None = None
        """The selector, where it can watch so little that connections have to be bounded by it."""
        self.selector = self._new_selector()
        self.clock = clock
        self.now = clock()
        """When this turn began, by ``clock``."""
        self.on_error = on_error or _raise
        self._write_log = write_log
        self._sends: deque[tuple[Callback, OnError]] = deque()
        self._idle: deque[tuple[Callback, OnError]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_count = 0
        self._sweep_at = _TIMERS_WORTH_SWEEPING
        self._calls: deque[tuple[Callback, OnError]] = deque()
        self._running = False
        self._on_signal: Callable[[int], None] | None = None
        self._on_signal_error = self.on_error
        try:
            self._wake_receiver, self._wake_sender = _wake_pair()
        except OSError:
            self.selector.close()
            raise
        try:
            self.watch(self._wake_receiver, self._woken).wait_for(READ)
        except OSError:
            self.close()
            raise

    def watch(self, sock: socket.socket | int, callback: Callback, on_error: OnError | None = None) -> Watch:
        """Register a socket or descriptor, to call back each time that it is ready for what it waits for."""
        return Watch(self, sock, callback, on_error or self.on_error)

    def when_writable(self, fd: int, callback: Callable[[], bool]) -> None:
        """Call back each time that a descriptor takes bytes, until the callback says that it is done."""

        def call() -> None:
            if callback():
                watch.close()

        def fail(error: Exception) -> None:
            watch.close()  # it would be called again at once, and perhaps for ever
            self.on_error(error)

        watch = Watch(self, fd, call, fail)
        try:
            watch.wait_for(WRITE)
        except OSError:
            self.call_later(_RETRY_AFTER, partial(self._try_to_write, fd, callback))

    def _try_to_write(self, fd: int, callback: Callable[[], bool]) -> None:
        """Call back without knowing whether a descriptor takes bytes, which a selector that refuses it can't say."""
        if not callback():
            self.when_writable(fd, callback)

    def call_at(self, when: float, callback: Callback, on_error: OnError | None = None) -> Timer:
        """Call back once ``clock()`` has reached ``when``; those of one time in order of arming."""
        timer = Timer(self, when, callback, on_error or self.on_error)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        return timer

    def send_at_end(self, send: Callback, on_error: OnError | None = None) -> None:
        """Call back at the end of this turn, when its log is written."""
        self._sends.append((send, on_error or self.on_error))

    def call_later(self, seconds: float, callback: Callback, on_error: OnError | None = None) -> Timer:
        """Call back in so many seconds."""
        return self.call_at(self.now + seconds, callback, on_error)

    def call_idle(self, callback: Callback, on_error: OnError | None = None) -> None:
        """Call back when all else is done, in this iteration or a later one, for a step of a few milliseconds."""
        self._idle.append((callback, on_error or self.on_error))

    def call_from_thread(self, callback: Callback, on_error: OnError | None = None) -> None:
        """Have the loop's thread call back; the one method that any thread may call."""
        self._calls.append((callback, on_error or self.on_error))
        self.wake()

    def call_in_thread(self, work: Callable[[], T], done: Callable[[T], None], on_error: OnError) -> None:
        """Do something long in a thread, and call back with its result; for what has no steps, as imports."""

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told where it is waited for
                self.call_from_thread(partial(on_error, error), on_error)
            else:
                self.call_from_thread(partial(done, result), on_error)

        start_new_thread(run, ())

    def wake(self) -> None:
        """End the loop's sleep."""
        # Where so many wake-ups are unread that none fits, or the loop is closed, one more adds nothing.
        with suppress(OSError):
            self._wake_sender.send(b"\0")

    def signals_to(self, callback: Callable[[int], None], on_error: OnError) -> int:
        """Pass on signals as their numbers; returns the fd for ``signal.set_wakeup_fd``."""
        self._on_signal = callback
        self._on_signal_error = on_error
        return self._wake_sender.fileno()

    def run(self) -> None:
        """Run until :meth:`stop`; what ``on_error`` raises ends the run and comes out of here."""
        self._running = True
        while self._running:
            try:
                while self._running:
                    self._iterate()
            except Exception as error:  # noqa: BLE001 - not a callback's: the log's, say, for want of memory
                self.on_error(error)

    def stop(self) -> None:
        """End :meth:`run` after this turn."""
        self._running = False

    def close(self) -> None:
        """Give back what the loop itself holds; its watches' sockets are their owners'."""
        self._idle.clear()
        self.selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _new_selector(self) -> selectors.BaseSelector:
        if not issubclass(selectors.DefaultSelector, selectors.SelectSelector):
            return selectors.DefaultSelector()
        from .select_limit import LimitedSelector, limits  # only here: of our platforms, Windows

        self.limit = LimitedSelector(*limits())
        return self.limit

    def _iterate(self) -> None:
        ready = self.selector.select(self._select_timeout())
        self.now = self.clock()
        if not ready and self._timers and self._timers[0][0] <= self.now:
            # After a SIGSTOP it may not have looked: what is there counts before a deadline that has passed.
            ready = self.selector.select(0)
        if self._calls:  # before the bytes of a peer that was told to go on after the call
            self._make_calls()
        for key, events in ready:
            watch: Watch = key.data
            if events & watch.events:
                try:  # Not: _call(), here and in _send(), because every command would pay for one more call.
                    watch.callback()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the owner's to deal with
                    watch.on_error(error)
        if self._timers:
            self._run_timers()
        self._write_log()
        if self._sends:
            self._send()
            self._write_log()
        if self._idle:
            self._work()

    def _send(self) -> None:
        # Taken one by one, here and below: should an owner raise, too, the others keep their turn.
        for _ in range(len(self._sends)):
            send, on_error = self._sends.popleft()
            try:
                send()
            except Exception as error:  # noqa: BLE001 - as above
                on_error(error)

    def _work(self) -> None:
        """Do a slice of what can wait: each step at most once, so that none is done before another's turn."""
        idle, clock = self._idle, self.clock
        end = clock() + _IDLE_SLICE
        for _ in range(len(idle)):
            _call(*idle.popleft())
            if clock() >= end:
                return

    def _select_timeout(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if self._sends or self._idle:
            return 0.0
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0][0] - self.clock()), _LONGEST_SLEEP)

    def _run_timers(self) -> None:
        # One that is armed meanwhile, even for now, has its turn in the next iteration.
        armed_before = self._timer_count
        while self._timers:
            when, number, timer = self._timers[0]
            if when > self.now or number > armed_before:
                break
            heapq.heappop(self._timers)
            if timer.callback is not None:
                _call(*timer.take())

    def sweep_timers(self) -> None:
        """Forget cancelled timers now and then: else each short session leaves one for its timeout."""
        if len(self._timers) > self._sweep_at:
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._sweep_at = max(_TIMERS_WORTH_SWEEPING, 2 * len(self._timers))

    def _woken(self) -> None:
        try:
            numbers = self._wake_receiver.recv(4096)
        except BlockingIOError:
            return
        if self._on_signal is not None:
            on_signal, on_error = self._on_signal, self._on_signal_error
            self._calls += ((partial(on_signal, number), on_error) for number in numbers if number)
        self._make_calls()

    def _make_calls(self) -> None:
        while self._calls:
            _call(*self._calls.popleft())


def _nobody() -> None:
    """Who is called once nobody is."""


def _raise(error: Exception) -> None:
    raise error


def _call(callback: Callback, on_error: OnError) -> None:
    try:
        callback()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the owner's to deal with
        on_error(error)


def _wake_pair() -> tuple[socket.socket, socket.socket]:
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    return receiver, sender
