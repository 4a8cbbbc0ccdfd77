"""The reference's commands, a row each: what it forgets, demands, refuses, answers and leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

from ..configuration import Configuration
from ..message import Message
from . import grammar, transaction
from .events import Reply
from .table import BODY, CLOSE, BodyRow, Command, CommandTable, Recognised

_LINES_REMEMBERED = 256
_LONGEST_REMEMBERED = 128


def plain_table(configuration: Configuration) -> CommandTable:
    """The table of the reference's commands, a row each."""
    unrecognised = Reply(configuration.msg_invalid_cmd)
    rows = _rows(configuration, unrecognised)
    return CommandTable(
        rows=rows,
        recognise=recogniser(rows),
        body=BodyRow(
            limit=configuration.msg_size_limit,
            too_big=Reply(configuration.size_exceeded_reply()),
            accepted=Reply(configuration.msg_msg_received),
            delay=configuration.response_delay_message,
        ),
        greeting=Reply(configuration.msg_greeting),
        unrecognised=unrecognised,
        line_too_long=Reply("500 Line too long"),
        too_many_lines=Reply("421 Too many commands without a message"),
        fail_fast=configuration.is_cmd_fail_fast,
        several_messages=configuration.multiple_message_receiving,
    )


def _rows(configuration: Configuration, unrecognised: Reply) -> dict[str, Command]:
    helo = _helo(configuration)
    return {
        "HELO": helo,
        "EHLO": helo,
        "MAIL": _mail(configuration),
        "RCPT": _rcpt(configuration),
        "DATA": _data(configuration, unrecognised),
        "RSET": _rset(configuration),
        "NOOP": _noop(configuration, unrecognised),
        "QUIT": _quit(configuration, unrecognised),
    }


def _helo(configuration: Configuration) -> Command:
    return Command(
        on="helo",
        forgets=Message.forget_from_helo,
        in_sequence=transaction.always,
        out_of_sequence=Reply(configuration.msg_invalid_cmd_helo_sequence),
        argument=grammar.helo_argument,
        bad_argument=Reply(configuration.msg_invalid_cmd_helo_arg),
        refusals=refusals((configuration.blacklisted_helo_domains, configuration.msg_helo_blacklisted_domain)),
        accepted=Reply(configuration.msg_helo_received),
        record=transaction.record_helo,
        delay=configuration.response_delay_helo,
    )


def _mail(configuration: Configuration) -> Command:
    return Command(
        on="mail",
        forgets=Message.forget_from_mailfrom,
        in_sequence=transaction.after_helo,
        out_of_sequence=Reply(configuration.msg_invalid_cmd_mailfrom_sequence),
        argument=grammar.mailfrom_address,
        bad_argument=Reply(configuration.msg_invalid_cmd_mailfrom_arg),
        refusals=refusals((configuration.blacklisted_mailfrom_emails, configuration.msg_mailfrom_blacklisted_email)),
        accepted=Reply(configuration.msg_mailfrom_received),
        record=transaction.record_mailfrom,
        delay=configuration.response_delay_mailfrom,
        starts_message=True,
    )


def _rcpt(configuration: Configuration) -> Command:
    return Command(
        on="rcpt",
        forgets=transaction.forget_nothing if configuration.multiple_rcptto else Message.forget_from_rcptto,
        in_sequence=transaction.after_mailfrom,
        out_of_sequence=Reply(configuration.msg_invalid_cmd_rcptto_sequence),
        argument=grammar.rcptto_address,
        bad_argument=Reply(configuration.msg_invalid_cmd_rcptto_arg),
        refusals=refusals(
            (configuration.blacklisted_rcptto_emails, configuration.msg_rcptto_blacklisted_email),
            (configuration.not_registered_emails, configuration.msg_rcptto_not_registered_email),
        ),
        accepted=Reply(configuration.msg_rcptto_received),
        record=transaction.rcptto_recorder(configuration),
        too_many=Reply("452 Too many recipients") if configuration.multiple_rcptto else None,
        delay=configuration.response_delay_rcptto,
    )


def _data(configuration: Configuration, unrecognised: Reply) -> Command:
    return Command(
        on="data",
        forgets=Message.forget_from_data,
        in_sequence=transaction.after_rcptto,
        out_of_sequence=Reply(configuration.msg_invalid_cmd_data_sequence),
        argument=_only("data"),
        bad_argument=unrecognised,
        refusals=(),
        accepted=Reply(configuration.msg_data_received),
        record=transaction.record_data,
        delay=configuration.response_delay_data,
        next=BODY,
    )


def _rset(configuration: Configuration) -> Command:
    return Command(
        on="rset",
        forgets=transaction.forget_unfinished
        if configuration.multiple_message_receiving
        else Message.forget_from_mailfrom,
        in_sequence=transaction.after_helo,
        out_of_sequence=Reply(configuration.msg_invalid_cmd_rset_sequence),
        argument=_only("rset"),
        bad_argument=Reply(configuration.msg_invalid_cmd_rset_arg),
        refusals=(),
        accepted=Reply(configuration.msg_rset_received),
        record=transaction.record_rset,
        delay=configuration.response_delay_rset,
    )


def _noop(configuration: Configuration, unrecognised: Reply) -> Command:
    return Command(
        on="noop",
        forgets=transaction.forget_nothing,
        in_sequence=transaction.always,
        out_of_sequence=unrecognised,
        argument=_anything,
        bad_argument=unrecognised,
        refusals=(),
        accepted=Reply(configuration.msg_noop_received),
        record=transaction.record_noop,
        delay=configuration.response_delay_noop,
    )


def _quit(configuration: Configuration, unrecognised: Reply) -> Command:
    return _noop(configuration, unrecognised).but(
        on="quit",
        accepted=Reply(configuration.msg_quit_cmd),
        record=transaction.record_quit,
        delay=configuration.response_delay_quit,
        next=CLOSE,
        bare=True,
    )


def refusals(*pairs: tuple[Collection[str], str]) -> tuple[tuple[frozenset[str], Reply], ...]:
    """Who is refused, and with what reply."""
    return tuple((frozenset(refused), Reply(answer)) for refused, answer in pairs if refused)


def recogniser(rows: dict[str, Command]) -> Callable[[str], Recognised]:
    """What tells a line's row.

    Tests send the same few lines again and again: short ones are remembered, some kilobytes in all.
    """

    def recognise(line: str) -> Recognised:
        verb, space, _ = line.partition(" ")
        command = rows.get(verb.upper())
        if command is None or (command.bare and space):
            return None, None
        if not (command.by_verb or grammar.holds_command_word(line)):
            return None, None
        return command, command.argument(line)

    remembering = lru_cache(_LINES_REMEMBERED)(recognise)
    return lambda line: remembering(line) if len(line) <= _LONGEST_REMEMBERED else recognise(line)


def _anything(line: str) -> str | None:
    return line


def _only(word: str) -> Callable[[str], str | None]:
    return lambda line: line if grammar.is_word(word, line) else None
