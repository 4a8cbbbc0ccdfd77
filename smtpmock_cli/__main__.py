"""``python -m smtpmock_cli``, the ``smtpmock`` command, and the frozen program.

Invariant: whatever keeps the command from starting is one line on stderr and exit code 1.
"""

import os
import sys

_SHORTAGES = (ImportError, MemoryError, OSError, RuntimeError, SystemError)
"""Those of errors.py, for which there may be no memory."""
_FAILED = "Failed to start SMTP mock server: "
_START_ERROR = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command until a signal; returns its exit code.

    :param arguments: the command line without the program's name; None for the process's own.
    """
    line = sys.argv[1:] if arguments is None else arguments
    is_loaded = False
    try:
        load(line)
        is_loaded = True
        from smtpmock_cli.cli import prepare, serve

        prepared = prepare(line)
    except Exception as error:
        # During the import, it comes as anything: without memory, the compiler has raised a ValueError.
        if is_loaded and not isinstance(error, _SHORTAGES):
            raise
        why = _reason(error)
    else:
        return prepared if isinstance(prepared, int) else serve(prepared)
    # Not: above, because the error keeps what little memory there is.
    _complain(why)
    # Not: a return, because what is short now is short at the interpreter's end too, which would say so.
    os._exit(_START_ERROR)


def load(line: list[str] | None = None) -> None:
    """Import the command, and what this command line most likely wants of it."""
    # Not: at the top, where the interpreter would report what goes wrong, in a page of its own.
    from smtpmock_cli.startup import spared

    with spared():
        import smtpmock_cli.cli

        # Not: once the line has been parsed, because parsing may import what is to be spared here. The other forms of
        # the flag work, too, and take longer.
        if {"-ready", "--ready"}.intersection(line or ()):
            import smtpmock_cli.ready
        else:
            import smtpmock_cli.server  # noqa: F401


def _reason(error: Exception) -> str:
    # Without memory, the interpreter may even lose the error: "returned NULL without setting an exception".
    if isinstance(error, (MemoryError, SystemError)):
        return "out of memory"
    words: str = getattr(error, "strerror", None) or ""
    return words.lower() or str(error) or type(error).__name__


def _complain(why: str) -> None:
    try:
        from time import strftime  # only here, and without memory not even here

        _write(f"{strftime('%Y/%m/%d %H:%M:%S')} {_FAILED}{why}\n")
    except _SHORTAGES:
        _write(f"{_FAILED}out of memory\n")


def _write(line: str) -> None:
    try:  # noqa: SIM105 - contextlib may not be there
        sys.stderr.write(line)
    except (AttributeError, OSError, ValueError):  # it is closed, or full
        pass


if __name__ == "__main__":
    sys.exit(main())
