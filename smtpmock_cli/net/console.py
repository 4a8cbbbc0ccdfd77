"""The events of a Windows console that are not signals: Ctrl+Break, and its closing, a log-off or a shutdown.

Invariants: each event is one call of ``callback``, in the thread that the system made for it; as long as the process
has something left to do, the system is kept from ending it, which it does as soon as a handler has returned from one
of the last three, or some seconds later (5 by default).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CTRL_BREAK_EVENT = 1
_ENDINGS = (2, 5, 6)
"""CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT and CTRL_SHUTDOWN_EVENT."""

if sys.platform == "win32":
    import ctypes  # which Click imports as well
    from _thread import allocate_lock

    _Handler = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)
    _set_handler = ctypes.WinDLL("kernel32").SetConsoleCtrlHandler
    _kept: list[object] = []
    """Handlers that the system may call as long as the process lives."""

    @contextmanager
    def console_events(callback: Callable[[], None], *, restored: bool) -> Iterator[None]:
        """Call back at each of the events.

        :param restored: False is for a process that ends with this: the events are ignored from then on.
        """
        has_ended = allocate_lock()
        has_ended.acquire()

        def handle(event: int) -> int:
            # Not: Ctrl+C, which the interpreter makes a SIGINT of. Of the others the C library would make a SIGBREAK,
            # and then let the system end the process.
            if event != CTRL_BREAK_EVENT and event not in _ENDINGS:
                return False
            callback()
            if event in _ENDINGS:
                has_ended.acquire()
            return True

        handler = _Handler(handle)
        _set_handler(handler, True)
        try:
            yield
        finally:
            if restored:
                _set_handler(handler, False)
                has_ended.release()
            else:
                _kept.append(handler)
