"""The settings: one field is its default, its flag, its help and its bounds, and is written nowhere else.

Invariants: a Configuration never changes and never holds a wrong value; an empty value (no text,
zero, an empty list) stands for the default, as the reference has it, but where the default is None:
there, zero is a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, dataclass_transform

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .rule import Rule

SERVER, MESSAGES, SESSION = "Server", "Messages within reach", "Session"
REFUSALS, DELAYS, REPLIES, SCRIPT = "Refusals", "Delays", "Replies", "Scripted behaviour"

RULES = "rules"
"""The kind of a setting that holds rules."""

_LARGEST = 2**63 - 1
"""What a flag can hold: a 64-bit integer."""

_UNAVAILABLE = "421 Service not available"
_RECEIVED = "250 Received"
_OK = "250 Ok"
_INVALID_COMMAND = (
    "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT"
)
_HELO_FIRST = "503 Bad sequence of commands. HELO should be the first"
_TOO_BIG = "552 Message exceeded max size of {limit} bytes"


class Setting:
    """What is known of one field of :class:`Configuration`.

    :param kind: its type, where that is not the default's.
    :param fixed: whether it cannot change while a server runs.
    """

    __slots__ = ("default", "field", "fixed", "flag", "group", "help", "kind", "minimum", "shown_default", "unit")

    def __init__(
        self,
        flag: str,
        group: str,
        help: str,
        *,
        default: Any,
        kind: Any = None,
        unit: str = "",
        shown_default: str = "",
        minimum: int | None = 0,
        fixed: bool = False,
    ) -> None:
        self.field = ""
        self.flag = flag
        self.group = group
        self.help = help
        self.default = default
        self.kind = kind or type(default)
        self.unit = unit
        self.shown_default = shown_default
        """For a default that depends on something else."""
        self.minimum = minimum
        self.fixed = fixed

    def __set_name__(self, _: type, name: str) -> None:
        self.field = name


def setting(flag: str, group: str, help: str, *, default: Any, **more: Any) -> Any:
    """Declare a field of :class:`Configuration`: a :class:`Setting`, seen as a value by type checkers."""
    return Setting(flag, group, help, default=default, **more)


def _seconds(flag: str, group: str, help: str, *, default: int) -> Any:
    return setting(flag, group, help, default=default, unit="s")


def _file(flag: str, help: str, *, default: str) -> Any:
    return setting(flag, MESSAGES, help, default=default, shown_default="no file", fixed=True)


def _reply(flag: str, help: str, *, default: str, shown_default: str = "") -> Any:
    return setting(flag, REPLIES, f"reply {help}", default=default, shown_default=shown_default)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting, _seconds, _file, _reply))
class _Settings:
    # Not: dataclasses, because it imports inspect and compiles its methods, at every start.
    SETTINGS: tuple[Setting, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.SETTINGS = tuple(value for value in vars(cls).values() if isinstance(value, Setting))

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - {known.field for known in self.SETTINGS}
        if unknown:
            raise ConfigurationError(f"no such setting: {', '.join(sorted(unknown))}")
        for known in self.SETTINGS:
            value = values.get(known.field)
            checked = known.default if value is None else _checked(known, value)
            self.__dict__[known.field] = checked if checked or known.default is None else known.default

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed; None is a field's default.

        :raises ConfigurationError: as the constructor.
        """
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Configuration does not change: make a new one to set {name}")

    def __repr__(self) -> str:
        changed = (
            f"{known.field}={value!r}"
            for known in self.SETTINGS
            if (value := self.__dict__[known.field]) != known.default
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))


def _checked(known: Setting, value: Any) -> Any:
    kind = known.kind
    if kind is RULES:
        return _rules(value)
    if kind is tuple:
        is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        if not is_list or not all(isinstance(item, str) and _is_encodable(item) for item in value):
            raise ConfigurationError(f"{known.field} takes a list of texts, not {value!r}")
        return tuple(value)
    if type(value) is not kind or (kind is str and not _is_encodable(value)):
        raise ConfigurationError(f"{known.field} takes {_KIND_NAMES[kind]}, not {value!r}")
    if kind is int and known.minimum is not None and value < known.minimum:
        raise ConfigurationError(f"{known.field} takes a number from {known.minimum} on, not {value}")
    if kind is int and value > _LARGEST:
        raise ConfigurationError(f"{known.field} takes a number up to {_LARGEST}")
    return value


def _rules(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and not value:
        return ()
    from .rule import rules  # only here: few configurations have any

    return rules(value)


def _is_encodable(text: str) -> bool:
    """Whether it can be sent: bytes of a flag that were not UTF-8 can, other lone surrogates cannot."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


_KIND_NAMES = {str: "a text", int: "a whole number", bool: "True or False"}


class Configuration(_Settings):
    """How a :class:`~smtpmock_cli.Server` behaves; every field has a default.

    Times are in seconds, sizes in bytes. An empty value stands for the default.

    :raises ConfigurationError: a field is unknown, or its value has a wrong type or is negative.
    """

    host_address: str = setting(
        "host",
        SERVER,
        "address or name to listen on; ::, [::] and 0.0.0.0 are all interfaces",
        default="127.0.0.1",
        fixed=True,
    )
    port_number: int = setting(
        "port", SERVER, "port to listen on", default=0, shown_default="a free port", minimum=None, fixed=True
    )
    log_to_stdout: bool = setting("log", SERVER, "log to stdout, errors to stderr", default=False)
    log_server_activity: bool = setting("log", SERVER, "log requests and replies too", default=False)
    shutdown_timeout: int = _seconds(
        "shutdownTimeout", SERVER, "how long a graceful stop waits for sessions", default=1
    )

    http_port: int | None = setting(
        "httpPort",
        MESSAGES,
        "port of the HTTP API; 0 takes a free one",
        default=None,
        kind=int,
        shown_default="no HTTP API",
        fixed=True,
    )
    http_host: str = setting(
        "httpHost", MESSAGES, "address or name that the HTTP API listens on", default="127.0.0.1", fixed=True
    )
    http_names: Sequence[str] = setting(
        "httpNames",
        MESSAGES,
        "further names and addresses that requests may call the HTTP API by",
        default=(),
        fixed=True,
    )
    messages_file: str = _file("messagesFile", "file to append each message to, a line of JSON each", default="")
    port_file: str = _file("portFile", "file that holds the ports, as JSON, while listening", default="")

    session_timeout: int = _seconds(
        "sessionTimeout", SESSION, "how long to wait for a command or a whole body", default=30
    )
    is_cmd_fail_fast: bool = setting("failFast", SESSION, "close the session after a failed command", default=False)
    multiple_rcptto: bool = setting("multipleRcptto", SESSION, "keep every RCPT TO of a message", default=False)
    multiple_message_receiving: bool = setting(
        "multipleMessageReceiving",
        SESSION,
        "take several messages a session, with RSET between them",
        default=False,
    )
    msg_size_limit: int = setting("msgSizeLimit", SESSION, "largest message body", default=10485760, unit="bytes")

    blacklisted_helo_domains: Sequence[str] = setting(
        "blacklistedHeloDomains", REFUSALS, "HELO arguments to refuse", default=()
    )
    blacklisted_mailfrom_emails: Sequence[str] = setting(
        "blacklistedMailfromEmails", REFUSALS, "MAIL FROM addresses to refuse", default=()
    )
    blacklisted_rcptto_emails: Sequence[str] = setting(
        "blacklistedRcpttoEmails", REFUSALS, "RCPT TO addresses to refuse", default=()
    )
    not_registered_emails: Sequence[str] = setting(
        "notRegisteredEmails", REFUSALS, "RCPT TO addresses that do not exist", default=()
    )

    rules: Sequence[Rule] = setting(
        "rules",
        SCRIPT,
        "file of rules that decide on replies before all else: TOML, a [[rule]] each",
        default=(),
        kind=RULES,
        shown_default="no rules",
    )
    seed: int | None = setting(
        "seed",
        SCRIPT,
        "makes rules with a probability fire as in every run with the same seed",
        default=None,
        kind=int,
        shown_default="another each time",
    )

    response_delay_helo: int = _seconds("responseDelayHelo", DELAYS, "delay of the reply to HELO, EHLO", default=0)
    response_delay_mailfrom: int = _seconds(
        "responseDelayMailfrom", DELAYS, "delay of the reply to MAIL FROM", default=0
    )
    response_delay_rcptto: int = _seconds("responseDelayRcptto", DELAYS, "delay of the reply to RCPT TO", default=0)
    response_delay_data: int = _seconds("responseDelayData", DELAYS, "delay of the reply to DATA", default=0)
    response_delay_message: int = _seconds("responseDelayMessage", DELAYS, "delay of the reply to the body", default=0)
    response_delay_rset: int = _seconds("responseDelayRset", DELAYS, "delay of the reply to RSET", default=0)
    response_delay_noop: int = _seconds("responseDelayNoop", DELAYS, "delay of the reply to NOOP", default=0)
    response_delay_quit: int = _seconds("responseDelayQuit", DELAYS, "delay of the reply to QUIT", default=0)

    msg_greeting: str = _reply("msgGreeting", "on connect", default="220 Welcome")
    msg_invalid_cmd: str = _reply("msgInvalidCmd", "to what is no command", default=_INVALID_COMMAND)
    msg_invalid_cmd_helo_sequence: str = _reply(
        "msgInvalidCmdHeloSequence",
        "to HELO out of sequence: kept for old command lines, never sent",
        default=_HELO_FIRST,
    )
    msg_invalid_cmd_helo_arg: str = _reply(
        "msgInvalidCmdHeloArg",
        "to HELO, EHLO with a bad argument",
        default="501 HELO requires domain address or valid address literal",
    )
    msg_helo_blacklisted_domain: str = _reply(
        "msgHeloBlacklistedDomain", "to a blacklisted domain", default=_UNAVAILABLE
    )
    msg_helo_received: str = _reply("msgHeloReceived", "to HELO, EHLO", default=_RECEIVED)
    msg_invalid_cmd_mailfrom_sequence: str = _reply(
        "msgInvalidCmdMailfromSequence",
        "to MAIL FROM before HELO",
        default="503 Bad sequence of commands. MAIL FROM should be used after HELO",
    )
    msg_invalid_cmd_mailfrom_arg: str = _reply(
        "msgInvalidCmdMailfromArg",
        "to MAIL FROM with a bad address",
        default="501 MAIL FROM requires valid email address",
    )
    msg_mailfrom_blacklisted_email: str = _reply(
        "msgMailfromBlacklistedEmail", "to a blacklisted MAIL FROM address", default=_UNAVAILABLE
    )
    msg_mailfrom_received: str = _reply("msgMailfromReceived", "to MAIL FROM", default=_RECEIVED)
    msg_invalid_cmd_rcptto_sequence: str = _reply(
        "msgInvalidCmdRcpttoSequence",
        "to RCPT TO before MAIL FROM",
        default="503 Bad sequence of commands. RCPT TO should be used after MAIL FROM",
    )
    msg_invalid_cmd_rcptto_arg: str = _reply(
        "msgInvalidCmdRcpttoArg",
        "to RCPT TO with a bad address",
        default="501 RCPT TO requires valid email address",
    )
    msg_rcptto_not_registered_email: str = _reply(
        "msgRcpttoNotRegisteredEmail", "to an address that does not exist", default="550 User not found"
    )
    msg_rcptto_blacklisted_email: str = _reply(
        "msgRcpttoBlacklistedEmail", "to a blacklisted RCPT TO address", default=_UNAVAILABLE
    )
    msg_rcptto_received: str = _reply("msgRcpttoReceived", "to RCPT TO", default=_RECEIVED)
    msg_invalid_cmd_data_sequence: str = _reply(
        "msgInvalidCmdDataSequence",
        "to DATA before RCPT TO",
        default="503 Bad sequence of commands. DATA should be used after RCPT TO",
    )
    msg_data_received: str = _reply(
        "msgDataReceived", "to DATA", default="354 Ready for receive message. End data with <CR><LF>.<CR><LF>"
    )
    msg_msg_size_is_too_big: str = _reply(
        "msgMsgSizeIsTooBig",
        "to a body over msgSizeLimit",
        default="",
        shown_default=f'"{_TOO_BIG.format(limit="N")}"',
    )
    msg_msg_received: str = _reply("msgMsgReceived", "to a body", default=_RECEIVED)
    msg_invalid_cmd_rset_sequence: str = _reply("msgInvalidCmdRsetSequence", "to RSET before HELO", default=_HELO_FIRST)
    msg_invalid_cmd_rset_arg: str = _reply("msgInvalidCmdRsetArg", "to RSET with an argument", default=_INVALID_COMMAND)
    msg_rset_received: str = _reply("msgRsetReceived", "to RSET", default=_OK)
    msg_noop_received: str = _reply("msgNoopReceived", "to NOOP", default=_OK)
    msg_quit_cmd: str = _reply("msgQuitCmd", "to QUIT", default="221 Closing connection")

    def size_exceeded_reply(self) -> str:
        """The reply to a body over ``msg_size_limit``; its default names the limit in force."""
        return self.msg_msg_size_is_too_big or _TOO_BIG.format(limit=self.msg_size_limit)


def changeable() -> list[Setting]:
    """The settings that can change while a server runs, but the rules, which are changed one by one."""
    return [known for known in Configuration.SETTINGS if not known.fixed and known.kind is not RULES]
