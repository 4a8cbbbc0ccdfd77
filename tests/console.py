"""The events of a Windows console, sent to one process, and the processes that one has started."""

from __future__ import annotations

import sys
from subprocess import Popen

import pytest

CTRL_C, CTRL_BREAK, CLOSE, LOGOFF, SHUTDOWN = 0, 1, 2, 5, 6
EVENTS = {"Ctrl+C": CTRL_C, "Ctrl+Break": CTRL_BREAK, "close": CLOSE, "log-off": LOGOFF, "shutdown": SHUTDOWN}

is_wine = False
"""Whether this is Wine, and not Windows."""

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    is_wine = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
    _kernelbase = ctypes.WinDLL("kernelbase")
    _kernel32.GetProcAddress.argtypes = (wintypes.HMODULE, ctypes.c_char_p)
    _kernel32.GetProcAddress.restype = ctypes.c_void_p
    _size, _pointer = ctypes.c_size_t, ctypes.c_void_p
    _kernel32.CreateRemoteThread.argtypes = (
        wintypes.HANDLE,
        _pointer,
        _size,
        _pointer,
        _pointer,
        wintypes.DWORD,
        _pointer,
    )
    _kernel32.CreateRemoteThread.restype = wintypes.HANDLE

    def send_event(process: Popen[bytes], event: int) -> None:
        """Have a process meet an event, as from its console: the system does it by a thread in that process, too."""
        # Not: GenerateConsoleCtrlEvent(), which knows no more than Ctrl+C and Ctrl+Break, and needs a console here.
        routine = _kernel32.GetProcAddress(_kernelbase._handle, b"CtrlRoutine")
        if not routine:
            pytest.skip("this Windows does not say where the routine is that a console has called")
        thread = _kernel32.CreateRemoteThread(int(process._handle), None, 0, routine, event, 0, None)  # type: ignore[attr-defined]
        assert thread, ctypes.WinError(ctypes.get_last_error())
        _kernel32.CloseHandle(wintypes.HANDLE(thread))

    class _Entry(ctypes.Structure):
        """PROCESSENTRY32."""

        _fields_ = (
            ("size", wintypes.DWORD),
            ("usage", wintypes.DWORD),
            ("process", wintypes.DWORD),
            ("heap", ctypes.c_void_p),
            ("module", wintypes.DWORD),
            ("threads", wintypes.DWORD),
            ("parent", wintypes.DWORD),
            ("priority", wintypes.LONG),
            ("flags", wintypes.DWORD),
            ("file", ctypes.c_char * 260),
        )

    def children(parent: int) -> list[int]:
        """The processes that a process has started and that run, by their numbers."""
        _kernel32.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
        snapshot = wintypes.HANDLE(_kernel32.CreateToolhelp32Snapshot(0x2, 0))
        entry = _Entry(size=ctypes.sizeof(_Entry))
        found = []
        try:
            more = _kernel32.Process32First(snapshot, ctypes.byref(entry))
            while more:
                if entry.parent == parent:
                    found.append(int(entry.process))
                more = _kernel32.Process32Next(snapshot, ctypes.byref(entry))
        finally:
            _kernel32.CloseHandle(snapshot)
        return found

else:

    def send_event(process: Popen[bytes], event: int) -> None:
        raise NotImplementedError

    def children(parent: int) -> list[int]:
        raise NotImplementedError
