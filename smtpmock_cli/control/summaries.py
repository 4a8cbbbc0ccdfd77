"""Summaries: each mail is parsed once, and never so many in a row that SMTP has to wait for them.

Invariant: a summary lives as long as its message does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from weakref import WeakKeyDictionary

from ..message import Message
from .exchange import Answer, Refusal, Response, Waiting, refusal_response
from .summary import Summary

A_TURN = 4
"""How many mails are parsed in a turn of the loop; one takes about a millisecond."""


class Summaries:
    """The summaries of the messages that somebody has asked for.

    :param soon: calls back in the loop's next turn.
    """

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._known: WeakKeyDictionary[Message, Summary] = WeakKeyDictionary()

    def of(self, message: Message) -> Summary:
        summary = self._known.get(message)
        if summary is None:
            summary = self._known[message] = Summary(message)
        return summary

    def before(self, messages: Iterable[Message], answer: Callable[[], Response]) -> Answer:
        """An answer that needs the summaries of these messages: now, or when all are parsed."""
        rest = iter(messages)
        if not self._parse(rest):
            return answer()
        return Waiting(lambda respond: self._in_turns(rest, answer, respond))

    def _in_turns(
        self, rest: Iterator[Message], answer: Callable[[], Response], respond: Callable[[Response], None]
    ) -> Callable[[], None]:
        wanted = [True]

        def go_on() -> None:
            if wanted and self._parse(rest):
                self._soon(go_on)
            elif wanted:
                respond(_answered(answer))

        self._soon(go_on)
        return wanted.clear

    def _parse(self, rest: Iterator[Message]) -> bool:
        """Parse some; tells whether there may be more."""
        unknown = (message for message in rest if message not in self._known)
        parsed = [self.of(message) for message in islice(unknown, A_TURN)]
        return len(parsed) == A_TURN


def _answered(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except Refusal as refusal:
        return refusal_response(refusal)
