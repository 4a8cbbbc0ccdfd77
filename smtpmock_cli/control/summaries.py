"""Summaries: each mail is parsed once for all lists and searches, as long as there is room for what is kept of it.

Invariant: a summary lives no longer than its message does.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ..message import Message
from .exchange import Steps
from .summary import Summary, read_summary

ROOM = 16 * 1024 * 1024
"""About how many bytes of summaries are kept."""


class Summaries:
    """The summaries of the messages that somebody has asked for."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Message, Summary] = WeakKeyDictionary()
        self._size = 0
        self._sized = 0
        """Of how many summaries that is the size."""

    def of(self, message: Message) -> Steps[Summary]:
        summary = self._known.get(message)
        if summary is None:
            summary = yield from read_summary(message)
            # Not: the last ones, because lists and searches go through all, and would never find one of these.
            if self._has_room():
                self._known[message] = summary
                self._size += summary.size
                self._sized = len(self._known)
        return summary

    def _has_room(self) -> bool:
        if len(self._known) < self._sized:  # some went with their messages
            self._size = sum(summary.size for summary in self._known.values())
            self._sized = len(self._known)
        return self._size < ROOM
