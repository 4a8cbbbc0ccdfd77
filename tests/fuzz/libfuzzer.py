"""``python -m tests.fuzz.libfuzzer MODULE ARGUMENT...``: one target under atheris; libFuzzer owns the process.

Invariant: all of the package is imported while atheris instruments it, what is imported late by a running server too;
the tests are not instrumented, because what they do is no coverage.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pkgutil import walk_packages

from .targets import load

PACKAGE = "smtpmock_cli"
_NOT_LIBRARIES = (f"{PACKAGE}.__main__", f"{PACKAGE}.pytest_plugin")


def main() -> None:
    module, *arguments = sys.argv[1:]
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=[PACKAGE]):
        package = import_module(PACKAGE)
        for found in walk_packages(package.__path__, f"{PACKAGE}."):
            if found.name not in _NOT_LIBRARIES:
                import_module(found.name)
    target = load(module)
    warnings.simplefilter("error")  # on stderr, a warning is a start-up error to who reads that
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
