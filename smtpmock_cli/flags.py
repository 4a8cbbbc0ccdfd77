"""Go's flag syntax on Click: the options are made from Configuration's settings.

Invariants: the first thing wrong on the line, from the left, is what is reported, in the words of
Go's flag package; ``-h`` counts only if nothing before it is wrong; flags end at the first word that
is none, and at ``--``; an empty argument where a flag or a word could be means nothing. Errors repeat an
argument's bytes as they came, whatever the locale.

A flag that is not on the line is read from the environment, if its variable is set to anything but nothing or a
service link. The environment is read once the line is known to be right, and not for ``-v``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.core import ParameterSource
from click.formatting import wrap_text

from .configuration import Configuration
from .errors import ConfigurationError
from .settings import PREFIX, RULES, SERVER, Setting

_WIDTH = 80
_BOOLEANS = {"1": True, "t": True, "T": True, "TRUE": True, "true": True, "True": True} | {
    "0": False, "f": False, "F": False, "FALSE": False, "false": False, "False": False,
}  # fmt: skip
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES |= {"\t": "\\t", "\v": "\\v"}
_LINKS = ("tcp://", "udp://", "sctp://")
"""Service links: what Docker and Kubernetes set in other containers, as ``SMTPMOCK_PORT`` for one called smtpmock."""


class HelpRequested(Exception):  # noqa: N818 - it is not an error
    """``-h`` or ``-help``."""


class VariableError(click.UsageError):
    """A variable has a wrong value, or one that conflicts with others; the text names it and what it takes."""


class GoType(click.ParamType[Any]):
    """A type of Go's flag package. ``name`` is what the usage calls it."""

    kind = ""
    secret = False

    def fail_go(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None, reason: str, expected: str = ""
    ) -> Any:
        """Refuse a value as Go does.

        :param expected: what it should have been, for a variable; the reason says so otherwise.
        """
        invalid = f"invalid {self.kind}value " + ("" if self.secret else f"{quote(value)} ")
        if isinstance(param, GoOption) and ctx is not None and param.is_from_environment(ctx):
            raise VariableError(f"{invalid}for variable {param.envvar}: {expected or reason}")
        flag = param.opts[0] if param is not None else ""
        raise click.UsageError(f"{invalid}for {self.label(flag)}: {reason}")

    def label(self, flag: str) -> str:
        return f"flag {flag}"


class GoText(GoType):
    """A text, as a setting takes it."""

    name = "string"

    def __init__(self, setting: Setting) -> None:
        self._fault = setting.fault
        self.secret = setting.secret

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        fault = self._fault(value)
        return self.fail_go(value, param, ctx, fault) if fault else value


class GoList(GoText):
    """Texts separated by commas; nothing is trimmed."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        texts = tuple(value.split(",")) if value else ()
        fault = self._fault(texts)
        return self.fail_go(value, param, ctx, fault) if fault else texts


class GoBool(GoType):
    name = ""
    kind = "boolean "

    def label(self, flag: str) -> str:
        return flag

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, bool):
            return value
        if value in _BOOLEANS:
            return _BOOLEANS[value]
        return self.fail_go(value, param, ctx, "parse error", "must be true or false")


class GoInt(GoType):
    """A 64-bit integer, its base by its prefix; ``minimum`` as in :class:`Setting`."""

    name = "int"

    def __init__(self, minimum: int | None) -> None:
        self._minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        number = _integer(value)
        if number is None:
            return self.fail_go(value, param, ctx, "parse error", "must be an integer")
        if not -(2**63) <= number < 2**63:
            return self.fail_go(value, param, ctx, "value out of range", "must be an integer of 64 bits")
        if self._minimum is not None and number < self._minimum:
            return self.fail_go(value, param, ctx, f"must be {self._minimum} or more")
        return number


class GoRules(GoType):
    """A file of rules; its value is what the file holds."""

    name = "file"

    def __init__(self) -> None:
        # Read once, though converted twice: it may be a pipe.
        self._read: dict[str, Any] = {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if value and value not in self._read:
            from .rules_file import load  # only with the flag

            try:
                self._read[value] = load(value)
            except ConfigurationError as error:
                return self.fail_go(value, param, ctx, str(error))
        return self._read.get(value, ())


def _is_flag(argument: str) -> bool:
    return len(argument) > 1 and argument.startswith("-")


def _integer(text: str) -> int | None:
    """Go's integer: an optional sign, a base by prefix, a leading 0 for octal, underscores between digits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    # What Python takes besides: white space, and digits outside ASCII.
    if not (digits.isascii() and digits.replace("_", "0").isalnum()):
        return None
    is_octal = digits[0] == "0" and digits[1:2] in (*"01234567_",)
    try:
        return int(text, 8 if is_octal else 0)
    except ValueError:
        return None


class GoOption(click.Option):
    """One flag; it may set several fields of the configuration."""

    def __init__(self, flag: str, name: str, settings: tuple[Setting, ...], *, help: str, **attributes: Any) -> None:
        super().__init__([f"-{flag}", name], **attributes)
        # Not to Click's constructor, which takes indentation out of it, and imports inspect for that.
        self.help = help
        self.settings = settings
        self.group = settings[0].group if settings else SERVER

    @property
    def is_boolean(self) -> bool:
        """Whether it stands without a value."""
        return isinstance(self.type, GoBool)

    def is_from_environment(self, ctx: click.Context) -> bool:
        """Whether its value is that of its variable."""
        return ctx.get_parameter_source(self.name or "") is ParameterSource.ENVIRONMENT

    def usage(self) -> Iterator[str]:
        """Its lines of the usage text."""
        yield f"  {self.opts[0]} {self.type.name}".rstrip()
        shown = self.default_text()
        text = f"{self.help} (default {shown})" if shown else self.help or ""
        yield wrap_text(text, _WIDTH, " " * 8, " " * 8)

    def default_text(self) -> str:
        """The default as a reader wants it; nothing where it goes without saying."""
        if not self.settings:
            return ""
        setting = self.settings[0]
        if setting.shown_default:
            return setting.shown_default
        if isinstance(setting.default, str):
            return f'"{setting.default}"'
        named = {False: "off", (): "empty"} if not isinstance(setting.default, int) or self.is_boolean else {}
        return f"{named.get(setting.default, setting.default)} {setting.unit}".rstrip()


def options() -> list[GoOption]:
    """An option for every flag of the configuration, and those without a setting, in the usage's order."""
    return [_option(flag) for flag in (*_SETTINGS, *_DEEDS)]


def _settings_by_flag() -> dict[str, list[Setting]]:
    by_flag: dict[str, list[Setting]] = {}
    for setting in Configuration.SETTINGS:
        by_flag.setdefault(setting.flag, []).append(setting)
    return by_flag


_SETTINGS = _settings_by_flag()
_DEEDS = {
    "ready": ("ready", "ask the server that the other flags describe whether it is ready, and exit with 0 or 1"),
    "v": ("version", "print the version and exit"),
}
"""The flags that say what else to do than to serve: their parameters and help."""


def _option(flag: str) -> GoOption:
    if flag in _DEEDS:
        name, help = _DEEDS[flag]
        return GoOption(flag, name, (), type=GoBool(), default=False, help=help)
    settings = _SETTINGS[flag]
    known = settings[0]
    attributes = {"type": _go_type(known), "default": known.default, "help": known.help, "envvar": known.variable}
    return GoOption(flag, known.field, tuple(settings), **attributes)


def _go_type(setting: Setting) -> GoType:
    if setting.kind is int:
        return GoInt(setting.minimum)
    if setting.kind in (str, tuple):
        return (GoText if setting.kind is str else GoList)(setting)
    return {bool: GoBool, RULES: GoRules}[setting.kind]()


class GoCommand(click.Command):
    """A command whose line is read as Go's flag package reads it.

    Its callback gets ``words``, what stands behind the flags; ``version`` and ``ready``; and by its
    name each field whose flag was given, or whose variable is set.

    Not: an option for each flag from the start, because making and asking them all takes a millisecond.
    """

    def __init__(self, name: str, callback: Callable[..., Any]) -> None:
        super().__init__(name, callback=callback, add_help_option=False, context_settings={"allow_extra_args": True})
        self._given: dict[str, GoOption] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the line into the one form that Go and Click share, ``-flag value``, and parse it."""
        shared: list[tuple[str, str]] = []
        rest = list(args)
        while rest and (not rest[0] or _is_flag(rest[0])):
            argument = rest.pop(0)
            if argument == "--":
                break
            if argument:
                shared.append(self._in_shared_form(ctx, argument, rest))
        words = [*filter(None, rest)]
        wants_version = _BOOLEANS[dict(shared).get("-v", "false")]
        if not (words or wants_version):
            self._read_environment()
        self.params = [*self._given.values()]
        super().parse_args(ctx, [*(word for pair in shared for word in pair), "--", *words])
        for option in self._given.values():
            for setting in option.settings:
                ctx.params[setting.field] = ctx.params[option.settings[0].field]
        ctx.params = {"version": False, "ready": False, **ctx.params, "words": words}
        return words

    def _in_shared_form(self, ctx: click.Context, argument: str, rest: list[str]) -> tuple[str, str]:
        flag, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if not flag or flag.startswith("-"):
            raise click.UsageError(f"bad flag syntax: {in_utf8(argument)}")
        if flag not in _SETTINGS and flag not in _DEEDS:
            if flag in ("h", "help"):
                raise HelpRequested
            raise click.UsageError(f"flag provided but not defined: -{in_utf8(flag)}")
        option = self._given[flag] = self._given.get(flag) or _option(flag)
        if not equals:
            if option.is_boolean:
                value = "true"
            elif not rest:
                raise click.UsageError(f"flag needs an argument: -{flag}")
            else:
                value = rest.pop(0)
        # Click converts only once it has seen the whole line; the error to report is the leftmost.
        option.type.convert(value, option, ctx)
        return f"-{flag}", value

    def _read_environment(self) -> None:
        """Add the option of each variable that is set; Click takes its value from there (``envvar``)."""
        # Not: Click's auto_envvar_prefix, because it makes the name of the field, and needs all options to be there.
        # Not: items(), which decodes every value too.
        found = {name for name in os.environ if name.startswith(PREFIX)}
        if not found:
            return
        for flag, settings in _SETTINGS.items():
            variable = settings[0].variable
            if variable in found and flag not in self._given and _is_setting(os.environ[variable]):
                self._given[flag] = _option(flag)

    def get_help(self, ctx: click.Context) -> str:
        """The usage text: every flag with its type, meaning and default."""
        lines = [f"Usage: {self.name} [flags]", "", _VARIABLES]
        group = ""
        for option in sorted(options(), key=lambda option: _GROUPS.index(option.group)):
            if option.group != group:
                group = option.group
                lines += ["", f"{group}:"]
            lines += option.usage()
        return "\n".join(lines)


_VARIABLES = "Flags can also be set by environment variables: -httpPort by SMTPMOCK_HTTP_PORT."
_GROUPS = list(dict.fromkeys(setting.group for setting in Configuration.SETTINGS))


def _is_setting(value: str) -> bool:
    """Whether a variable of ours says something: Compose and GitHub leave one empty for which they have no value."""
    return bool(value) and not value.startswith(_LINKS)


def refusal(ctx: click.Context, error: ConfigurationError) -> click.UsageError:
    """What is wrong with a configuration, each setting called by its flag, or by the variable that it came from."""
    options = (option for option in ctx.command.params if isinstance(option, GoOption))
    given = [setting for option in options if option.is_from_environment(ctx) for setting in option.settings]
    variables = {setting.field: setting.variable for setting in given}
    names = {setting.field: f"-{setting.flag}" for setting in Configuration.SETTINGS} | variables
    words = re.split(r"(\w+)", str(error))
    kind = click.UsageError if variables.keys().isdisjoint(words) else VariableError
    return kind("".join(names.get(word, word) for word in words))


def in_utf8(argument: str) -> str:
    """An argument, or a text with parts of one, decoded as UTF-8, and not by the locale."""
    try:
        return os.fsencode(argument).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # the locale did not decode it: a caller of main() did
        return argument


def quote(argument: str) -> str:
    """The argument as Go's ``%q`` writes it."""
    return '"' + "".join(_ESCAPES.get(character) or _quoted(character) for character in in_utf8(argument)) + '"'


def _quoted(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
