"""The environment that tests, loads and benchmarks run in, and hand down to what they spawn."""

from __future__ import annotations

import os

from smtpmock_cli import Configuration


def clear_settings() -> None:
    """Drop the variables that would set flags of every server spawned from here."""
    # Not: whatever begins with SMTPMOCK_, because some variables are meant for the tests (SMTPMOCK_PROGRAM).
    for setting in Configuration.SETTINGS:
        os.environ.pop(setting.variable, None)
