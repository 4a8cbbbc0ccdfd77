"""Enhanced status codes (RFC 3463), as ENHANCEDSTATUSCODES has every reply carry one (RFC 2034).

Invariant: a reply that was configured goes out as it was configured; the codes are for the defaults. The
greeting and HELO's replies carry none, nor do replies of 3xx.
"""

from __future__ import annotations

from collections.abc import Callable

from ..configuration import Configuration
from .events import Reply

Say = Callable[[str, str], Reply]
"""Makes a reply of its text and its code."""

_OK, _BAD_SEQUENCE, _BAD_ARGUMENT = "2.0.0", "5.5.1", "5.5.4"
CODES = {
    "msg_invalid_cmd": _BAD_SEQUENCE,
    "msg_invalid_cmd_mailfrom_sequence": _BAD_SEQUENCE,
    "msg_invalid_cmd_mailfrom_arg": "5.1.7",
    "msg_mailfrom_blacklisted_email": "4.7.1",
    "msg_mailfrom_received": "2.1.0",
    "msg_invalid_cmd_rcptto_sequence": _BAD_SEQUENCE,
    "msg_invalid_cmd_rcptto_arg": "5.1.3",
    "msg_rcptto_not_registered_email": "5.1.1",
    "msg_rcptto_blacklisted_email": "4.7.1",
    "msg_rcptto_received": "2.1.5",
    "msg_invalid_cmd_data_sequence": _BAD_SEQUENCE,
    "msg_msg_size_is_too_big": "5.3.4",
    "msg_msg_received": _OK,
    "msg_starttls_received": _OK,
    "msg_starttls_required": "5.7.0",
    "msg_auth_received": "2.7.0",
    "msg_invalid_auth": "5.7.8",
    "msg_auth_required": "5.7.0",
    "msg_invalid_cmd_rset_sequence": _BAD_SEQUENCE,
    "msg_invalid_cmd_rset_arg": _BAD_ARGUMENT,
    "msg_rset_received": _OK,
    "msg_noop_received": _OK,
    "msg_quit_cmd": _OK,
}
"""For each field of a reply that carries one."""


def coded(reply: str, code: str) -> Reply:
    """The reply with the code in front of its text."""
    return Reply(f"{reply[:3]} {code} {reply[4:]}")


def plainly(reply: str, code: str) -> Reply:
    """The reply without the code."""
    return Reply(reply)


def with_codes(configuration: Configuration) -> Configuration:
    """The configuration with its default replies coded."""
    defaults = Configuration(msg_size_limit=configuration.msg_size_limit)
    changes = {}
    for field, code in CODES.items():
        if getattr(configuration, field) == getattr(defaults, field):
            changes[field] = coded(getattr(defaults, field) or defaults.size_exceeded_reply(), code).line
    return configuration.but(**changes)
