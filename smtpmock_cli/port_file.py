"""PortFile: tells who started the server which ports it took.

Invariant: the file is there as a whole, or not at all.
"""

from __future__ import annotations

import os
from contextlib import suppress

from .errors import ServerStartError, reason


class PortFile:
    """``{"smtp": N, "http": M}``, null for what is not served, while the server listens.

    :raises ServerStartError: it cannot be written.
    """

    def __init__(self, path: str, *, smtp: int, http: int | None) -> None:
        self._path = path
        # Not: json, and pathlib below, which cost a tenth of the time in which a server has to listen.
        self._content = f'{{"smtp": {smtp}, "http": {"null" if http is None else http}}}\n'
        try:
            self._write()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise ServerStartError(f"Failed to write port file {path}: {reason(error)}") from error

    def remove(self) -> None:
        """Take the file away, if it is still this server's."""
        with suppress(OSError, ValueError):
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123
                if file.read(1000) != self._content:
                    return
            os.unlink(self._path)  # noqa: PTH108

    def _write(self) -> None:
        """Under another name first, so that nobody reads half of it."""
        work = f"{self._path}.{os.getpid()}"
        try:
            with open(work, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(self._content)
            os.replace(work, self._path)  # noqa: PTH105
        except OSError:
            with suppress(OSError):
                os.unlink(work)  # noqa: PTH108
            raise
