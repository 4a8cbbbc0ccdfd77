"""The settings: one field is its default, its flag, its help and its bounds, and is written nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .settings import (
    DELAYS,
    EXTENSIONS,
    MESSAGES,
    REFUSALS,
    RULES,
    SCRIPT,
    SERVER,
    SESSION,
    Setting,
    Settings,
    file,
    reply,
    seconds,
    setting,
)

if TYPE_CHECKING:
    from .rule import Rule

AUTH_MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
STARTTLS, REQUIRED, IMPLICIT = TLS_MODES = ("starttls", "required", "implicit")

_UNAVAILABLE = "421 Service not available"
_RECEIVED = "250 Received"
_OK = "250 Ok"
_INVALID_COMMAND = (
    "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT"
)
_HELO_FIRST = "503 Bad sequence of commands. HELO should be the first"
_TOO_BIG = "552 Message exceeded max size of {limit} bytes"


class Configuration(Settings):
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
    shutdown_timeout: int = seconds("shutdownTimeout", SERVER, "how long a graceful stop waits for sessions", default=1)

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
    messages_file: str = file("messagesFile", "file to append each message to, a line of JSON each", default="")
    port_file: str = file("portFile", "file that holds the ports, as JSON, while listening", default="")

    session_timeout: int = seconds(
        "sessionTimeout", SESSION, "how long to wait for a command or a whole body", default=30
    )
    max_connections: int = setting("maxConnections", SESSION, "sessions at a time; one more gets 421", default=10000)
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

    esmtp: bool = setting(
        "esmtp", EXTENSIONS, "speak ESMTP: EHLO offers extensions, paths are RFC 5321's", default=False
    )
    extensions: Sequence[str] = setting(
        "extensions",
        EXTENSIONS,
        "what EHLO offers, which turns -esmtp on; known are these, BINARYMIME, CHUNKING and DSN",
        default=(),
        shown_default="SIZE,8BITMIME,PIPELINING,SMTPUTF8,ENHANCEDSTATUSCODES",
        pattern="[A-Za-z0-9][A-Za-z0-9-]*( [!-~]+)*",
        takes="keywords of ESMTP, each with or without parameters behind spaces",
    )
    tls_cert: str = setting(
        "tlsCert",
        EXTENSIONS,
        "file with a certificate and those that lead to its issuer, PEM; turns TLS on",
        default="",
        shown_default="no TLS",
        fixed=True,
    )
    tls_key: str = setting(
        "tlsKey",
        EXTENSIONS,
        "file with the certificate's private key, PEM",
        default="",
        shown_default="that of -tlsCert",
        fixed=True,
    )
    tls_self_signed: bool = setting(
        "tlsSelfSigned",
        EXTENSIONS,
        "turn TLS on with a certificate made for localhost, 127.0.0.1 and ::1",
        default=False,
        fixed=True,
    )
    tls_mode: str = setting(
        "tlsMode",
        EXTENSIONS,
        "starttls offers TLS, required refuses mail without it, implicit begins with it",
        default="",
        shown_default="starttls",
        pattern="|".join(TLS_MODES),
        takes="one of " + ", ".join(TLS_MODES),
        fixed=True,
    )
    auth_users: Sequence[str] = setting(
        "authUsers",
        EXTENSIONS,
        "who gets in by AUTH, each user:password; turns AUTH on",
        default=(),
        shown_default="nobody",
        pattern="[^:\\x00]+:[^\\x00]*",
        takes="users, each with a colon and a password",
        secret=True,
    )
    auth_mechanisms: Sequence[str] = setting(
        "authMechanisms",
        EXTENSIONS,
        "how AUTH goes; turns it on",
        default=(),
        shown_default=",".join(AUTH_MECHANISMS),
        pattern="|".join(AUTH_MECHANISMS),
        takes="some of " + ", ".join(AUTH_MECHANISMS),
    )
    auth_required: bool = setting("authRequired", EXTENSIONS, "refuse mail before AUTH; turns it on", default=False)

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

    response_delay_helo: int = seconds("responseDelayHelo", DELAYS, "delay of the reply to HELO, EHLO", default=0)
    response_delay_mailfrom: int = seconds(
        "responseDelayMailfrom", DELAYS, "delay of the reply to MAIL FROM", default=0
    )
    response_delay_rcptto: int = seconds("responseDelayRcptto", DELAYS, "delay of the reply to RCPT TO", default=0)
    response_delay_data: int = seconds("responseDelayData", DELAYS, "delay of the reply to DATA", default=0)
    response_delay_message: int = seconds("responseDelayMessage", DELAYS, "delay of the reply to the body", default=0)
    response_delay_starttls: int = seconds("responseDelayStarttls", DELAYS, "delay of the reply to STARTTLS", default=0)
    response_delay_auth: int = seconds("responseDelayAuth", DELAYS, "delay of the verdict on AUTH", default=0)
    response_delay_rset: int = seconds("responseDelayRset", DELAYS, "delay of the reply to RSET", default=0)
    response_delay_noop: int = seconds("responseDelayNoop", DELAYS, "delay of the reply to NOOP", default=0)
    response_delay_quit: int = seconds("responseDelayQuit", DELAYS, "delay of the reply to QUIT", default=0)

    msg_greeting: str = reply("msgGreeting", "on connect", default="220 Welcome")
    msg_invalid_cmd: str = reply("msgInvalidCmd", "to what is no command", default=_INVALID_COMMAND)
    msg_invalid_cmd_helo_sequence: str = reply(
        "msgInvalidCmdHeloSequence",
        "to HELO out of sequence: kept for old command lines, never sent",
        default=_HELO_FIRST,
    )
    msg_invalid_cmd_helo_arg: str = reply(
        "msgInvalidCmdHeloArg",
        "to HELO, EHLO with a bad argument",
        default="501 HELO requires domain address or valid address literal",
    )
    msg_helo_blacklisted_domain: str = reply(
        "msgHeloBlacklistedDomain", "to a blacklisted domain", default=_UNAVAILABLE
    )
    msg_helo_received: str = reply("msgHeloReceived", "to HELO, EHLO", default=_RECEIVED)
    msg_invalid_cmd_mailfrom_sequence: str = reply(
        "msgInvalidCmdMailfromSequence",
        "to MAIL FROM before HELO",
        default="503 Bad sequence of commands. MAIL FROM should be used after HELO",
    )
    msg_invalid_cmd_mailfrom_arg: str = reply(
        "msgInvalidCmdMailfromArg",
        "to MAIL FROM with a bad address",
        default="501 MAIL FROM requires valid email address",
    )
    msg_mailfrom_blacklisted_email: str = reply(
        "msgMailfromBlacklistedEmail", "to a blacklisted MAIL FROM address", default=_UNAVAILABLE
    )
    msg_mailfrom_received: str = reply("msgMailfromReceived", "to MAIL FROM", default=_RECEIVED)
    msg_invalid_cmd_rcptto_sequence: str = reply(
        "msgInvalidCmdRcpttoSequence",
        "to RCPT TO before MAIL FROM",
        default="503 Bad sequence of commands. RCPT TO should be used after MAIL FROM",
    )
    msg_invalid_cmd_rcptto_arg: str = reply(
        "msgInvalidCmdRcpttoArg",
        "to RCPT TO with a bad address",
        default="501 RCPT TO requires valid email address",
    )
    msg_rcptto_not_registered_email: str = reply(
        "msgRcpttoNotRegisteredEmail", "to an address that does not exist", default="550 User not found"
    )
    msg_rcptto_blacklisted_email: str = reply(
        "msgRcpttoBlacklistedEmail", "to a blacklisted RCPT TO address", default=_UNAVAILABLE
    )
    msg_rcptto_received: str = reply("msgRcpttoReceived", "to RCPT TO", default=_RECEIVED)
    msg_invalid_cmd_data_sequence: str = reply(
        "msgInvalidCmdDataSequence",
        "to DATA before RCPT TO",
        default="503 Bad sequence of commands. DATA should be used after RCPT TO",
    )
    msg_data_received: str = reply(
        "msgDataReceived", "to DATA", default="354 Ready for receive message. End data with <CR><LF>.<CR><LF>"
    )
    msg_msg_size_is_too_big: str = reply(
        "msgMsgSizeIsTooBig",
        "to a body over msgSizeLimit",
        default="",
        shown_default=f'"{_TOO_BIG.format(limit="N")}"',
    )
    msg_msg_received: str = reply("msgMsgReceived", "to a body", default=_RECEIVED)
    msg_starttls_received: str = reply("msgStarttlsReceived", "to STARTTLS", default="220 Ready to start TLS")
    msg_starttls_required: str = reply(
        "msgStarttlsRequired",
        "to what has to wait for STARTTLS",
        default="530 Must issue a STARTTLS command first",
    )
    msg_auth_received: str = reply("msgAuthReceived", "to AUTH that succeeded", default="235 Authentication successful")
    msg_invalid_auth: str = reply(
        "msgInvalidAuth", "to AUTH that failed", default="535 Authentication credentials invalid"
    )
    msg_auth_required: str = reply(
        "msgAuthRequired", "to what has to wait for AUTH", default="530 Authentication required"
    )
    msg_invalid_cmd_rset_sequence: str = reply("msgInvalidCmdRsetSequence", "to RSET before HELO", default=_HELO_FIRST)
    msg_invalid_cmd_rset_arg: str = reply("msgInvalidCmdRsetArg", "to RSET with an argument", default=_INVALID_COMMAND)
    msg_rset_received: str = reply("msgRsetReceived", "to RSET", default=_OK)
    msg_noop_received: str = reply("msgNoopReceived", "to NOOP", default=_OK)
    msg_quit_cmd: str = reply("msgQuitCmd", "to QUIT", default="221 Closing connection")

    def size_exceeded_reply(self) -> str:
        """The reply to a body over ``msg_size_limit``; its default names the limit in force."""
        return self.msg_msg_size_is_too_big or _TOO_BIG.format(limit=self.msg_size_limit)

    @property
    def speaks_esmtp(self) -> bool:
        """Whether EHLO offers extensions, paths are RFC 5321's, and parameters may stand behind them."""
        return self.esmtp or bool(self.extensions)

    @property
    def tls(self) -> str:
        """How TLS comes about, one of ``TLS_MODES``; empty where it does not."""
        return (self.tls_mode or STARTTLS) if self.tls_cert or self.tls_self_signed else ""

    @property
    def offers_auth(self) -> bool:
        """Whether AUTH is known, though perhaps nobody gets in."""
        return bool(self.auth_users or self.auth_mechanisms) or self.auth_required

    @property
    def is_extended(self) -> bool:
        """Whether sessions know more than the reference's commands."""
        return self.speaks_esmtp or bool(self.tls) or self.offers_auth

    def contradiction(self) -> str:
        if self.tls_cert and self.tls_self_signed:
            return "tls_cert and tls_self_signed do not go together"
        if self.tls_key and not self.tls_cert:
            return "tls_key needs tls_cert"
        return "tls_mode needs tls_cert or tls_self_signed" if self.tls_mode and not self.tls else ""


def changeable() -> list[Setting]:
    """The settings that can change while a server runs, but the rules, which are changed one by one."""
    return [known for known in Configuration.SETTINGS if not known.fixed and known.kind is not RULES]
