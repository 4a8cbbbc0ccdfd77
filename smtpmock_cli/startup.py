"""Spares the command's start what Click imports and a plain run never touches.

A wrapper gives the process 100 ms from its spawn to a listening port, and half of that went into modules
that only say something of types, or only serve an option or a message that this run has no use for. While
the command is being imported, :func:`spared` puts a placeholder in the place of each of them.

Invariants: a placeholder loads the real module as soon as anything of it is used, so nothing is missing;
after the import the placeholders are gone from ``sys.modules``, so whoever imports such a module later
gets the real one; a module that is there already stays. Only the command does this: ``import smtpmock_cli``
in somebody's program leaves their modules alone.

What they cost together stands in docs/performance.md.
"""

from __future__ import annotations

import _thread
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

_NEVER = 2**31 - 1

# The names that are only handed on while Click is imported, to be used by what nobody may ever call.
_LATER = {"datetime": ("datetime",), "gettext": ("gettext", "ngettext"), "inspect": (), "uuid": ("UUID",)}


@contextmanager
def spared() -> Iterator[None]:
    """Import inside of this what is imported for the command alone."""
    placeholders = {name: _Unloaded(name, later) for name, later in _LATER.items()}
    # What threading itself gives by this name; Click's only use of threading.
    threading = placeholders["threading"] = _Unloaded("threading", ())
    threading.local = _thread._local  # type: ignore[attr-defined]
    all_placeholders = [*placeholders.values(), _NoTyping("typing")]
    placed = {module.__name__: module for module in all_placeholders if module.__name__ not in sys.modules}
    sys.modules.update(placed)
    gc.disable()  # nothing is garbage yet, and looking for some takes milliseconds
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        gc.freeze()
        # What is kept is looked through for cycles, which we do not make: while it is new, and never as a whole. To
        # look through a hundred thousand messages takes a fifth of a second, in which nobody is answered.
        gc.set_threshold(5_000, 2, _NEVER)
        gc.enable()


class _Unloaded(ModuleType):
    """A module that is loaded when something of it is used, but for the names that can be used later."""

    def __init__(self, name: str, later: tuple[str, ...]) -> None:
        super().__init__(name)
        self.__later = later

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system looks for __path__ and the like
            raise AttributeError(name)
        if name in self.__later:
            return _Later(self.__name__, name)
        return getattr(_loaded(self.__name__), name)


class _Later:
    """A function or class of an unloaded module, itself loaded when it is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self.__home = (module, name)

    def __real(self) -> object:
        module, name = self.__home
        return getattr(_loaded(module), name)

    def __call__(self, *arguments: object, **named: object) -> object:
        return self.__real()(*arguments, **named)  # type: ignore[operator]

    def __getattr__(self, name: str) -> object:
        return getattr(self.__real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.__real())  # type: ignore[arg-type]


def _loaded(name: str) -> ModuleType:
    """The real module, whether or not its placeholder still stands in its place."""
    if isinstance(sys.modules.get(name), _Unloaded):
        del sys.modules[name]
    return import_module(name)


class _NoTyping(ModuleType):
    """In the place of typing: at run time, all that is said there of types means nothing."""

    TYPE_CHECKING = False

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _NOTHING


class _Subscriptable:
    """Stands for Generic and Protocol among the bases of a class."""

    def __init_subclass__(cls, **_: object) -> None:
        """Take what only a TypedDict means something by."""

    def __class_getitem__(cls, _: object) -> type:
        return cls


class _Nothing:
    """Any name of typing: as a base, a decorator, a type with arguments, or cast()."""

    def __mro_entries__(self, _: tuple[type, ...]) -> tuple[type, ...]:
        return (_Subscriptable,)

    def __call__(self, *arguments: object, **_: object) -> object:
        return arguments[-1] if arguments else self

    def __getitem__(self, _: object) -> _Nothing:
        return self

    def __or__(self, _: object) -> _Nothing:
        return self

    __ror__ = __or__


_NOTHING = _Nothing()
