"""What a setting is, and how the class that lists them is made of them.

Invariants: a Settings never changes and never holds a wrong value; an empty value (no text, zero, an
empty list) stands for the default, as the reference has it, but where the default is None: there, zero
is a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, dataclass_transform

from .errors import ConfigurationError

SERVER, MESSAGES, SESSION = "Server", "Messages within reach", "Session"
REFUSALS, DELAYS, REPLIES, SCRIPT = "Refusals", "Delays", "Replies", "Scripted behaviour"
EXTENSIONS = "Extensions of SMTP"

RULES = "rules"
"""The kind of a setting that holds rules."""
PREFIX = "SMTPMOCK_"
"""What every variable's name begins with."""

_LARGEST = 2**63 - 1
"""What a flag can hold: a 64-bit integer."""


class Setting:
    """What is known of one field.

    :param kind: its type, where that is not the default's.
    :param fixed: whether it cannot change while a server runs.
    :param pattern: what its text, or each of its texts, has to match as a whole, and ``takes`` says in words.
    :param secret: whether its value is not to be shown.
    """

    __slots__ = (
        *("default", "field", "fixed", "flag", "group", "help", "kind", "minimum", "pattern", "secret"),
        *("shown_default", "takes", "unit"),
    )

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
        pattern: str = "",
        takes: str = "",
        secret: bool = False,
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
        self.pattern = pattern
        self.takes = takes
        self.secret = secret

    @property
    def variable(self) -> str:
        """The environment variable that its flag is read from, too: ``SMTPMOCK_HTTP_PORT`` for ``httpPort``."""
        return PREFIX + "".join(f"_{letter}" if letter.isupper() else letter for letter in self.flag).upper()

    def fault(self, value: Any) -> str:
        """What it takes, where a text, or one of a list's, is none of that."""
        if not (self.pattern and value):
            return ""
        from re import fullmatch  # only here: few configurations have any

        texts = [value] if isinstance(value, str) else value
        return "" if all(fullmatch(self.pattern, text) for text in texts) else f"takes {self.takes}"

    def shown(self, value: Any) -> str:
        """The value, for an error's text."""
        return "what was given" if self.secret else repr(value)

    def __set_name__(self, _: type, name: str) -> None:
        self.field = name


def setting(flag: str, group: str, help: str, *, default: Any, **more: Any) -> Any:
    """Declare a field: a :class:`Setting`, seen as a value by type checkers."""
    return Setting(flag, group, help, default=default, **more)


def seconds(flag: str, group: str, help: str, *, default: int) -> Any:
    return setting(flag, group, help, default=default, unit="s")


def file(flag: str, help: str, *, default: str) -> Any:
    return setting(flag, MESSAGES, help, default=default, shown_default="no file", fixed=True)


def reply(flag: str, help: str, *, default: str, shown_default: str = "") -> Any:
    return setting(flag, REPLIES, f"reply {help}", default=default, shown_default=shown_default)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting, seconds, file, reply))
class Settings:
    """A value whose class lists its fields, each a :func:`setting`; they are given by name."""

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
        contradiction = self.contradiction()
        if contradiction:
            raise ConfigurationError(contradiction)

    def contradiction(self) -> str:
        """What of it does not go together, told by the fields' names; nothing where all does."""
        return ""

    def but(self, **changes: Any) -> Self:
        """The same with some fields changed; None is a field's default.

        :raises ConfigurationError: as the constructor.
        """
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} does not change: make a new one to set {name}")

    def __repr__(self) -> str:
        changed = (
            f"{known.field}={'...' if known.secret else repr(value)}"
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
            raise ConfigurationError(f"{known.field} takes a list of texts, not {known.shown(value)}")
        value = tuple(value)
    elif type(value) is not kind or (kind is str and not _is_encodable(value)):
        raise ConfigurationError(f"{known.field} takes {_KIND_NAMES[kind]}, not {value!r}")
    fault = known.fault(value) if known.pattern else ""
    if fault:
        raise ConfigurationError(f"{known.field} {fault}, not {known.shown(value)}")
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
