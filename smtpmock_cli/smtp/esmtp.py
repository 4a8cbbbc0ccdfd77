"""The table with the extensions of SMTP: what its rows demand, offer and answer besides.

Invariant: what is not turned on stays as the reference has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..configuration import IMPLICIT, Configuration
from ..message import NO_PARAMETERS, Message
from . import grammar, path, security, transaction
from .body import CRLF
from .chunks import chunk_argument, is_next, play_chunk, record_unless_whole
from .commands import plain_table, recogniser, refusals
from .concealment import concealed
from .events import Reply
from .extensions import USUAL, Offer, Parameters
from .path import Path
from .status_codes import Say, coded, plainly, with_codes
from .table import COMMAND, Command, CommandTable

_SHUTTING_DOWN = "421 Service not available, closing transmission channel"
"""RFC 5321 section 3.8."""


class PathCommand(Command):
    """MAIL or RCPT: a row that also checks the parameters behind its path."""

    parameters: Parameters
    unknown_parameter: Reply
    bad_parameter: Reply
    not_international: Reply
    size_limit: int
    too_big: Reply

    def judge(self, message: Message, argument: str | None) -> tuple[Reply, bool]:
        answer, succeeded = super().judge(message, argument)
        refusal = self._refusal(message, argument) if succeeded and isinstance(argument, Path) else None
        return (answer, succeeded) if refusal is None else (refusal, False)

    def _refusal(self, message: Message, given: Path) -> Reply | None:
        parameters = given.parameters
        if parameters is None:
            return self.bad_parameter
        # After HELO nothing is on offer (RFC 5321 section 2.2.1).
        if parameters and (_greeted_by_helo(message) or not self.parameters.are_known(parameters)):
            return self.unknown_parameter
        if not self.parameters.are_valid(parameters):
            return self.bad_parameter
        if not (given.isascii() or "SMTPUTF8" in parameters or "SMTPUTF8" in message.mailfrom_parameters):
            return self.not_international
        return self.too_big if int(parameters.get("SIZE", 0)) > self.size_limit else None


class Ehlo(Command):
    """EHLO: what it offers depends on whether there is TLS already."""

    accepted_in_tls: Reply

    def judge(self, message: Message, argument: str | None) -> tuple[Reply, bool]:
        answer, succeeded = super().judge(message, argument)
        return (self.accepted_in_tls if succeeded and message.tls else answer), succeeded


def extended_table(configuration: Configuration) -> CommandTable:
    """The table of a configuration with ESMTP, TLS or AUTH."""
    words = (configuration.extensions or USUAL) if configuration.speaks_esmtp else ()
    offer = Offer([*words, *security.keywords(configuration)[1]])
    is_coded = "ENHANCEDSTATUSCODES" in offer
    say = coded if is_coded else plainly
    configuration = with_codes(configuration) if is_coded else configuration
    table = plain_table(configuration)
    rows = table.rows
    if configuration.speaks_esmtp:
        rows = _esmtp_rows(configuration, table, offer, say)
    rows = security.secured(configuration, rows, say)
    rows["EHLO"] = _ehlo(configuration, rows["EHLO"], words)
    return table.but(
        rows=rows,
        recognise=recogniser(rows),
        body=table.body.but(line_end=CRLF) if configuration.speaks_esmtp else table.body,
        line_too_long=say(table.line_too_long.line, "5.5.2"),
        too_many_lines=say(table.too_many_lines.line, "4.7.0"),
        needs_rset=not configuration.speaks_esmtp,
        shutting_down=say(_SHUTTING_DOWN, "4.3.2") if configuration.speaks_esmtp else None,
        tls_first=configuration.tls == IMPLICIT,
        shown=concealed,
    )


def _esmtp_rows(configuration: Configuration, table: CommandTable, offer: Offer, say: Say) -> dict[str, Command]:
    helo = table.rows["HELO"].but(argument=_helo_argument)
    mail, rcpt = _path_rows(configuration, table, offer, say)
    rows = {
        **table.rows,
        "HELO": helo,
        "EHLO": helo,
        "MAIL": mail,
        "RCPT": rcpt,
        "DATA": _data(table),
        "VRFY": _vrfy(configuration, table, say),
    }
    if "CHUNKING" in offer:
        rows["BDAT"] = _bdat(table, say)
    rows["HELP"] = _help(table, say, [*rows, *security.verbs(configuration), "HELP"])
    return {verb: row.but(by_verb=True) for verb, row in rows.items()}


def _ehlo(configuration: Configuration, row: Command, words: Iterable[str]) -> Ehlo:
    plain, in_tls = (
        _ehlo_reply(row.accepted, Offer([*words, *more]).lines(configuration.msg_size_limit))
        for more in security.keywords(configuration)
    )
    return Ehlo(**{**row.__dict__, "accepted": plain, "accepted_in_tls": in_tls})


def _path_rows(
    configuration: Configuration, table: CommandTable, offer: Offer, say: Say
) -> tuple[PathCommand, PathCommand]:
    rcpt = table.rows["RCPT"]
    shared = {
        "unknown_parameter": say("555 MAIL FROM or RCPT TO parameter is not offered", "5.5.4"),
        "bad_parameter": say("501 MAIL FROM or RCPT TO parameter is not valid", "5.5.4"),
        "not_international": say("553 Address that is not ASCII requires SMTPUTF8", "5.6.7"),
        "size_limit": configuration.msg_size_limit,
        "too_big": Reply(configuration.size_exceeded_reply()),
    }
    of_mail = {"argument": path.reverse_path, "record": _record_mailfrom, "parameters": offer.of_mail}
    of_rcpt = {
        "argument": path.forward_path,
        "too_many": say(rcpt.too_many.line, "4.5.3") if rcpt.too_many is not None else None,
        "record": _rcptto_recorder(rcpt),
        "parameters": offer.of_rcpt,
    }
    return (
        PathCommand(**{**table.rows["MAIL"].__dict__, **shared, **of_mail}),
        PathCommand(**{**rcpt.__dict__, **shared, **of_rcpt}),
    )


def _vrfy(configuration: Configuration, table: CommandTable, say: Say) -> Command:
    return table.rows["NOOP"].but(
        on="unknown",
        argument=_verified,
        bad_argument=say("501 VRFY requires an address", "5.5.4"),
        refusals=refusals((configuration.not_registered_emails, configuration.msg_rcptto_not_registered_email)),
        accepted=say("252 Cannot verify, but will take a message", "2.5.0"),
        record=transaction.record_nothing,
        delay=0,
    )


def _help(table: CommandTable, say: Say, verbs: list[str]) -> Command:
    return table.rows["NOOP"].but(
        on="unknown",
        accepted=say(f"214 Commands: {', '.join(verbs)}", "2.0.0"),
        record=transaction.record_nothing,
        delay=0,
    )


def _data(table: CommandTable) -> Command:
    return table.rows["DATA"].but(forgets=_forget_from_data, in_sequence=_may_be_data, record=record_unless_whole)


def _bdat(table: CommandTable, say: Say) -> Command:
    return table.rows["DATA"].but(
        forgets=transaction.forget_nothing,
        in_sequence=is_next,
        out_of_sequence=say("503 Bad sequence of commands. BDAT should be used after RCPT TO", "5.5.1"),
        argument=chunk_argument,
        bad_argument=say("501 BDAT requires the size of a chunk", "5.5.4"),
        accepted=say("250 {} octets received", "2.0.0"),
        record=record_unless_whole,
        next=COMMAND,
        plays=play_chunk,
    )


def _ehlo_reply(helo: Reply, lines: list[str]) -> Reply:
    """HELO's reply with what is offered in further lines (RFC 5321 section 4.1.1.1)."""
    code = helo.line[:3]
    if not (code.isdigit() and code[0] == "2"):
        return helo
    *before, last = [line[4:] for line in helo.line.split("\r\n")] + lines
    return Reply("\r\n".join([*(f"{code}-{text}" for text in before), f"{code} {last}"]))


def _helo_argument(line: str) -> str | None:
    argument = line.partition(" ")[2]
    return argument if path.is_domain(argument) else grammar.helo_argument(line)


def _greeted_by_helo(message: Message) -> bool:
    return message.helo_request[:4].upper() == "HELO"


def _may_be_data(message: Message) -> bool:
    """Not amid chunks, nor where the body was said to be binary (RFC 3030 sections 2 and 3)."""
    is_binary = message.mailfrom_parameters.get("BODY", "").upper() == "BINARYMIME"
    return transaction.after_rcptto(message) and not message.chunks and not is_binary


def _forget_from_data(message: Message) -> None:
    if not message.chunks:
        message.forget_from_data()


def _verified(line: str) -> str | None:
    """The address or name that VRFY asks for (RFC 5321 section 4.1.1.6)."""
    return line.partition(" ")[2].strip().removeprefix("<").partition(">")[0] or None


def _record_mailfrom(message: Message, request: str, response: str, argument: str | None) -> None:
    transaction.record_mailfrom(message, request, response, argument)
    message.mailfrom_parameters = _parameters(argument)


def _rcptto_recorder(plain: Command) -> Callable[[Message, str, str, str | None], None]:
    def record(message: Message, request: str, response: str, argument: str | None) -> None:
        plain.record(message, request, response, argument)
        if len(message.rcptto_parameters) < len(message.forward_paths):
            message.rcptto_parameters.append(_parameters(argument))

    return record


def _parameters(argument: str | None) -> Mapping[str, str]:
    """Those of a path; a rule may accept what is none, or has no valid ones."""
    return (argument.parameters or NO_PARAMETERS) if isinstance(argument, Path) else NO_PARAMETERS
