"""Fixtures of pytest, registered by an entry point of tenants-api.

Every run of pytest loads this module, so it imports the devkit only when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tenants_api import testing

if TYPE_CHECKING:
    from tenants_api.devkit.realms import DevRealmServer
    from tenants_api.settings import Settings


@pytest.fixture
def tenants_dev_realms() -> Iterator[DevRealmServer]:
    """The development realms `acme` and `globex` on a free port; `.realm("acme").mint()` is a token of alice."""
    with testing.serve_dev_realms(["acme", "globex"]) as server:
        yield server


@pytest.fixture
def tenants_settings(tenants_dev_realms: DevRealmServer) -> Iterator[Settings]:
    """Settings with a registry in memory, where the development realms are active tenants."""
    with testing.memory_registry(tenants_dev_realms) as settings:
        yield settings
