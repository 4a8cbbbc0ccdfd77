from __future__ import annotations

from collections.abc import Iterator

import pytest

from smtpmock_cli import Configuration, Server


@pytest.fixture
def server() -> Iterator[Server]:
    """With the HTTP API, on free ports."""
    with Server(Configuration(http_port=0)) as running:
        yield running
