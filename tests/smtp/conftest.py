from __future__ import annotations

from collections.abc import Iterator

import pytest

from .pacing import in_steps


@pytest.fixture(params=["at once", "in steps"])
def pace(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rules decide at once, as where they are few; and in steps."""
    if request.param == "at once":
        yield
        return
    with in_steps():
        yield
