"""The errors that this package raises. A peer's mistake is none of them: it becomes an SMTP reply.

SmtpMockError
├── ConfigurationError   a setting has a wrong type or value (also a ValueError)
├── ServerStartError     an address cannot be listened on, a file not written, or descriptors or memory are short
│                        (also an OSError)
├── ServerStateError     started twice, or stopped while not running
└── WaitTimeoutError     fewer messages than asked for in time (also a TimeoutError)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Message


SHORTAGES = (ImportError, MemoryError, OSError, RuntimeError, SystemError)
"""What a lack of descriptors or memory comes to, depending on who meets it: an import, C code, a library, or ours."""


class SmtpMockError(Exception):
    """The root: catches everything that this package raises on purpose."""


class ConfigurationError(SmtpMockError, ValueError):
    """A setting has a wrong type or value; the text names the setting and what it takes."""


class ServerStartError(SmtpMockError, OSError):
    """The server cannot listen, or lacks something else; ``__cause__`` is the operating system's reason."""


class ServerStateError(SmtpMockError):
    """The call does not fit the server's state: it runs already, or it does not run."""


class WaitTimeoutError(SmtpMockError, TimeoutError):
    """A wait ran out; ``messages`` is what had arrived, in order."""

    def __init__(self, count: int, timeout: float, messages: list[Message]) -> None:
        super().__init__(f"{len(messages)} of {count} messages arrived within {timeout:g} s")
        self.messages = messages


def reason(error: Exception) -> str:
    """Why something could not be done, as the log has it: the operating system's word, in lower case."""
    if isinstance(error, (MemoryError, SystemError)):  # the interpreter may lose the one, which is then the other
        return "out of memory"
    return (getattr(error, "strerror", None) or str(error)).lower()


def internal_error(error: Exception) -> str:
    """A fault of ours as the log has it: what was raised, and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"internal error: {error!r}{place}"
