from __future__ import annotations

import pytest

from tests.certificates import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One for the whole run, because each takes a moment to make."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
