"""smtpmock: a fake SMTP server for tests."""

from .configuration import Configuration
from .errors import ConfigurationError, ServerStartError, ServerStateError, SmtpMockError, WaitTimeoutError
from .message import Message
from .server import Server

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Message",
    "Server",
    "ServerStartError",
    "ServerStateError",
    "SmtpMockError",
    "WaitTimeoutError",
]
