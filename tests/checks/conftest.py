"""Two development realms of their own for every check: the checks break realms on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server
