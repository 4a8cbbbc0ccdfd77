"""What this build is: the version, and where a frozen program came from."""

from __future__ import annotations

VERSION = "2.7.0"


def build() -> tuple[str, str]:
    """The commit, and the time of the build; packaging/build.py writes them, a checkout does not know."""
    try:
        from smtpmock_build import BUILT_AT, COMMIT
    except ImportError:
        return "unknown", "unknown"
    return COMMIT, BUILT_AT
