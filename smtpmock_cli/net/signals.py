"""SIGINT, SIGQUIT and SIGTERM on the loop: the interpreter writes their numbers to the wake-up fd.

The other events of a Windows console come from console.py and mean the same as Ctrl+C. The command ignores what
go-smtp-mock ignores; an embedded server leaves the other signals to its program.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from .loop import Loop

# Windows has no SIGQUIT, and SIGBREAK (Ctrl+Break) is the one that a parent can send there.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

_IGNORED = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR")
_REAL_TIME = range(35, 65) if sys.platform == "linux" else ()
"""Not: from SIGRTMIN on, because go-smtp-mock dies of 34, and SIGRTMIN is 34 or 35, as the C library has it."""


@contextmanager
def stop_signals(
    loop: Loop, callback: Callable[[], None], on_error: Callable[[Exception], None], *, restored: bool
) -> Iterator[None]:
    """Call back on the loop at each of the signals, which must not be closed before this has ended.

    Only the main thread may use this (the interpreter's rule).

    :param on_error: called with what the callback raises.
    :param restored: what handled them before does so again after. False is for a process that ends with this:
        they are ignored from then on, and the signals that mean nothing to it from now on.
    """

    def received(number: int) -> None:
        if number in STOP_SIGNALS:
            callback()

    wakeup_fd = signal.set_wakeup_fd(loop.signals_to(received, on_error), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _note_nothing) for number in STOP_SIGNALS}
    blocked = _unblocked()
    if not restored:
        _ignore_others()
    try:
        with _console_events(loop, callback, on_error, restored=restored):
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler if restored else signal.SIG_IGN)
        if sys.platform != "win32" and restored and blocked:
            signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        signal.set_wakeup_fd(wakeup_fd)


def _console_events(
    loop: Loop, callback: Callable[[], None], on_error: Callable[[Exception], None], *, restored: bool
) -> AbstractContextManager[None]:
    events: AbstractContextManager[None] = nullcontext()
    if sys.platform == "win32":
        from .console import console_events  # only here: no other system has such

        events = console_events(lambda: loop.call_from_thread(callback, on_error), restored=restored)
    return events


def _ignore_others() -> None:
    for number in (*(getattr(signal, name, None) for name in _IGNORED), *_REAL_TIME):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def _unblocked() -> set[int]:
    """Let the signals through that a parent had blocked, which is inherited; gives those."""
    blocked: set[int] = set()
    if sys.platform != "win32":
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS) & {*STOP_SIGNALS}
    return blocked


def _note_nothing(_number: int, _frame: FrameType | None) -> None:
    """A signal needs a handler for its number to reach the wake-up fd, and that is all it needs."""
