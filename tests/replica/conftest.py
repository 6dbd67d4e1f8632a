"""Development realms of its own for every test: the tests break them, and turn their keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex", "moved") as server:
        yield server
