"""smtpmock: a fake SMTP server for tests."""

TYPE_CHECKING = False  # typing itself costs more than the rest of this package
if TYPE_CHECKING:
    from .configuration import Configuration
    from .errors import ConfigurationError, ServerStartError, ServerStateError, SmtpMockError, WaitTimeoutError
    from .message import Message
    from .rule import Rule
    from .server import Server

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Message",
    "Rule",
    "Server",
    "ServerStartError",
    "ServerStateError",
    "SmtpMockError",
    "WaitTimeoutError",
]

_HOMES = {"Configuration": "configuration", "Message": "message", "Rule": "rule", "Server": "server"}


def __getattr__(name: str) -> object:
    # On first use, because the command has work to do before anything of the package is imported.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = found
    return found
