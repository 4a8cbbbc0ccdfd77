"""What the command's start is spared, and that nothing is missing for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers import PATIENCE, ROOT

LOAD = "from smtpmock_cli.__main__ import load; load()"
"""All that the command imports."""


def told_by(code: str) -> str:
    """What a fresh interpreter prints for this code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["datetime", "gettext", "inspect", "threading", "typing", "uuid"])
def test_who_imports_a_spared_module_later_gets_the_real_one(name: str) -> None:
    code = f"{LOAD}; import sys; assert {name!r} not in sys.modules; import {name}; print({name}.__file__)"
    assert told_by(code).endswith(f"{name}.py")


def test_the_package_leaves_other_peoples_modules_alone() -> None:
    code = "from smtpmock_cli import Server; import click, inspect; print(click.core.inspect is inspect)"
    assert told_by(code) == "True"


def test_a_module_that_is_there_already_stays() -> None:
    code = f"import inspect, typing; {LOAD}; import click; print(click.core.inspect is inspect)"
    assert told_by(code) == "True"


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("click.core.inspect.cleandoc('  a')", "a"),
        ("click.core._('a') + click.core.ngettext('b', 'c', 2)", "ac"),
        ("click.types.UUID.convert('12345678123456781234567812345678', None, None).version", "None"),
        ("click.types.UUIDParameterType().convert(__import__('uuid').UUID(int=1), None, None).int", "1"),
        ("click.DateTime().convert('2026-01-02', None, None).day", "2"),
        ("click.DateTime().convert(__import__('datetime').datetime(2026, 1, 3), None, None).day", "3"),
        ("click.types.datetime.min.year", "1"),
        ("click.core.t.cast('int', 5)", "5"),
        ("click.Path().convert('.', None, None)", "."),
    ],
)
def test_what_was_spared_is_there_when_it_is_used(use: str, result: str) -> None:
    assert told_by(f"{LOAD}; import click; print({use})") == result


def test_garbage_is_collected_again_after_the_start() -> None:
    assert told_by(f"{LOAD}; import gc; print(gc.isenabled(), gc.get_freeze_count() > 1000)") == "True True"
