"""What the table's rows ask of a transaction's state: what must have come, what is forgotten, what is kept."""

from __future__ import annotations

from collections.abc import Callable

from ..configuration import Configuration
from ..message import Message

RECIPIENT_LIMIT = 10_000
"""RCPT commands that a message remembers; RFC 5321 section 4.5.3.1.8 asks for 100 at least."""


def always(_: Message) -> bool:
    return True


def after_helo(message: Message) -> bool:
    return message.helo


def after_mailfrom(message: Message) -> bool:
    return message.helo and message.mailfrom


def after_rcptto(message: Message) -> bool:
    return message.helo and message.mailfrom and message.rcptto


def outside_transaction(message: Message) -> bool:
    """After HELO, and not between MAIL and the end of its message (RFC 5321 section 4.1.4)."""
    return message.helo and not (message.mailfrom and not message.msg_response)


def has_all_recipients(message: Message) -> bool:
    """Whether it remembers as many RCPT commands as it may."""
    return len(message.rcptto_request_response) >= RECIPIENT_LIMIT


def forget_nothing(_: Message) -> None:
    pass


def forget_unfinished(message: Message) -> None:
    if not message.is_consistent:
        message.forget_from_mailfrom()


def record_nothing(_message: Message, _request: str, _response: str, _argument: str | None) -> None:
    pass


def record_helo(message: Message, request: str, response: str, argument: str | None) -> None:
    message.helo_request = request
    message.helo_response = response
    message.helo = argument is not None


def record_mailfrom(message: Message, request: str, response: str, argument: str | None) -> None:
    message.mailfrom_request = request
    message.mailfrom_response = response
    message.mailfrom = argument is not None
    message.reverse_path = argument or ""


def rcptto_recorder(configuration: Configuration) -> Callable[[Message, str, str, str | None], None]:
    success = configuration.msg_rcptto_received

    def record(message: Message, request: str, response: str, argument: str | None) -> None:
        if has_all_recipients(message):  # a rule may accept more all the same
            return
        message.rcptto_request_response.append((request, response))
        if argument is not None:
            message.forward_paths.append(argument)
        if configuration.multiple_rcptto:
            # The reply's text decides too: the reference looks for that of success among the pairs.
            message.rcptto = message.rcptto or argument is not None or response == success
        else:
            message.rcptto = argument is not None

    return record


def record_data(message: Message, request: str, response: str, argument: str | None) -> None:
    message.data_request = request
    message.data_response = response
    message.data = argument is not None


def record_rset(message: Message, request: str, response: str, argument: str | None) -> None:
    message.rset_request = request
    message.rset_response = response
    message.rset = argument is not None


def record_noop(message: Message, _request: str, _response: str, argument: str | None) -> None:
    message.noop = argument is not None


def record_quit(message: Message, _request: str, _response: str, argument: str | None) -> None:
    message.quit_sent = argument is not None
