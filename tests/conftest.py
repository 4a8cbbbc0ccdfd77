from __future__ import annotations

import gc
import os
import runpy
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import environment
from tests.certificates import Certificate, make_certificate

# Every run draws the same examples, however busy the machine; script/fuzz is for chance. Not: a database of what
# failed before, because a checkout that has one would then test something else than a new one.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

environment.clear_settings()

# What runs in the background (nohup, or & in a script) has some signals ignored, and so would have all that it starts.
for _name in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, _name):  # Windows has neither
        signal.signal(getattr(signal, _name), signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--selector", choices=["select"], help="what waits for sockets, here and in all processes")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--selector"):
        folder = Path(__file__).parent / "selector"
        runpy.run_path(str(folder / "sitecustomize.py"))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def pytest_collection_finish() -> None:
    """What the collected tests and their libraries are made of stays until the end: no collection looks at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One for the whole run, because each takes a moment to make."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
