"""Modules with what Windows lacks, for tests that do not run there: ``unix.os.mkfifo``, ``unix.signal.SIGSTOP``.

With --platform win32, mypy knows of no such names, and takes those of these modules as given.
"""

from __future__ import annotations

import sys
from typing import Any

if sys.platform == "win32":
    fcntl: Any = None
    resource: Any = None
    termios: Any = None
    tty: Any = None
    import os as _os
    import select as _select
    import signal as _signal
    import socket as _socket

    os: Any = _os
    select: Any = _select
    signal: Any = _signal
    socket: Any = _socket
else:
    import fcntl as fcntl
    import os as os
    import resource as resource
    import select as select
    import signal as signal
    import socket as socket
    import termios as termios
    import tty as tty
