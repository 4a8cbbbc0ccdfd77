"""A small event loop: watched sockets, timers, and a wake-up from other threads and signals.

Invariants: everything runs in the thread that runs the loop, but for :meth:`Loop.call_from_thread`;
a watch that waits for nothing gets no event, not even one that the same turn had already collected;
what a turn has to send goes out together at its end, after its log, so that a peer that has a reply
can find it in the log, and is woken once; with nothing to do the loop sleeps without a tick.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_TIMERS_WORTH_SWEEPING = 64
_LONGEST_SLEEP = 86400.0
"""Seconds; more than some selectors can be told, and a timer may be years away."""


class Watch:
    """A socket's or descriptor's registration. ``events`` is what it waits for: READ, WRITE, or 0 for nothing."""

    __slots__ = ("_loop", "_sock", "callback", "events")

    def __init__(self, loop: Loop, sock: socket.socket | int, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._sock = sock
        self.callback = callback
        self.events = 0

    def wait_for(self, events: int) -> None:
        """Change what to wait for; 0 waits for nothing and keeps the watch."""
        if events == self.events:
            return
        selector = self._loop.selector
        if not events:
            selector.unregister(self._sock)
        elif not self.events:
            selector.register(self._sock, events, self)
        else:
            selector.modify(self._sock, events, self)
        self.events = events

    def close(self) -> None:
        """Wait for nothing ever again, and let go of who was to be called."""
        self.wait_for(0)
        self.callback = _nobody


class Timer:
    """A call to come. Its time is the loop's clock's, in seconds."""

    __slots__ = ("_loop", "callback", "when")

    def __init__(self, loop: Loop, when: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Take the call back; harmless where it was made or taken back already."""
        self.callback = None
        self._loop.sweep_timers()


class Loop:
    """Waits for sockets and timers and calls back.

    :param clock: gives seconds that never go back.
    :param write_log: called when something may have been logged, before the loop sleeps again.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        write_log: Callable[[], None] = lambda: None,
    ) -> None:
        self.selector = selectors.DefaultSelector()
        self.clock = clock
        self.now = clock()
        """When this turn began, by ``clock``."""
        self._write_log = write_log
        self._sends: list[Callable[[], None]] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_count = 0
        self._sweep_at = _TIMERS_WORTH_SWEEPING
        self._calls: deque[Callable[[], None]] = deque()
        self._running = False
        self._on_signal: Callable[[int], None] | None = None
        self._wake_receiver, self._wake_sender = _wake_pair()
        self.watch(self._wake_receiver, self._woken).wait_for(READ)

    def watch(self, sock: socket.socket, callback: Callable[[], None]) -> Watch:
        """Register a socket, to call back each time that it is ready for what it waits for."""
        return Watch(self, sock, callback)

    def when_writable(self, fd: int, callback: Callable[[], bool]) -> None:
        """Call back each time that a descriptor takes bytes, until the callback says that it is done."""

        def call() -> None:
            if callback():
                watch.close()

        watch = Watch(self, fd, call)
        watch.wait_for(WRITE)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once ``clock()`` has reached ``when``; those of one time in order of arming."""
        timer = Timer(self, when, callback)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        return timer

    def send_at_end(self, send: Callable[[], None]) -> None:
        """Call back at the end of this turn, when its log is written."""
        self._sends.append(send)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back in so many seconds."""
        return self.call_at(self.now + seconds, callback)

    def call_from_thread(self, callback: Callable[[], None]) -> None:
        """Have the loop's thread call back; the one method that any thread may call."""
        self._calls.append(callback)
        self.wake()

    def wake(self) -> None:
        """End the loop's sleep."""
        # Where so many wake-ups are unread that none fits, or the loop is closed, one more adds nothing.
        with suppress(OSError):
            self._wake_sender.send(b"\0")

    def signals_to(self, callback: Callable[[int], None]) -> int:
        """Pass on signals as their numbers; gives the fd for ``signal.set_wakeup_fd``."""
        self._on_signal = callback
        return self._wake_sender.fileno()

    def run(self) -> None:
        """Run until :meth:`stop`; what a callback raises ends the run and comes out of here."""
        self._running = True
        while self._running:
            self._turn()

    def stop(self) -> None:
        """End :meth:`run` after this turn."""
        self._running = False

    def close(self) -> None:
        """Give back what the loop itself holds; its watches' sockets are their owners'."""
        self.selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _turn(self) -> None:
        ready = self.selector.select(self._patience())
        self.now = self.clock()
        if not ready and self._timers and self._timers[0][0] <= self.now:
            # After a SIGSTOP it may not have looked: what is there counts before a deadline that has passed.
            ready = self.selector.select(0)
        if self._calls:  # before the bytes of a peer that was told to go on after the call
            self._make_calls()
        for key, events in ready:
            watch: Watch = key.data
            if events & watch.events:
                watch.callback()
        if self._timers:
            self._run_timers()
        self._write_log()
        if self._sends:
            self._send()
            self._write_log()

    def _send(self) -> None:
        sends, self._sends = self._sends, []
        for send in sends:
            send()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if self._sends:
            return 0.0
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0][0] - self.clock()), _LONGEST_SLEEP)

    def _run_timers(self) -> None:
        # First collected, then called: one that is armed meanwhile, even for now, has its next turn.
        due: list[Timer] = []
        while self._timers and self._timers[0][0] <= self.now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

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
        for number in numbers:
            if number and self._on_signal is not None:
                self._on_signal(number)
        self._make_calls()

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()


def _nobody() -> None:
    """Who is called once nobody is."""


def _wake_pair() -> tuple[socket.socket, socket.socket]:
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    return receiver, sender
