"""A file of rules: TOML, a ``[[rule]]`` each."""

from __future__ import annotations

import tomllib

from .errors import ConfigurationError, reason
from .rule import Rule, rules

TABLE = "rule"


def load(path: str) -> tuple[Rule, ...]:
    """The rules of a file, in its order.

    :raises ConfigurationError: it can't be read, is no TOML, or a rule is wrong; the text says which and why.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes longer than reading the rules
            document = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, or no path
        raise ConfigurationError(reason(error) if isinstance(error, OSError) else f"not TOML: {error}") from None
    for key in document:
        if key != TABLE:
            raise ConfigurationError(f"no such table: {key}; a rule is a [[{TABLE}]]")
    return rules(document.get(TABLE, []))
