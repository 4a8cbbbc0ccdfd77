from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.certificates import Certificate, make_certificate

# Every run draws the same examples, however busy the machine; script/fuzz is for chance. Not: a database of what
# failed before, because a checkout that has one would then test something else than a new one.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One for the whole run, because each takes a moment to make."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
