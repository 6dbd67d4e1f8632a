"""Development realms of its own for every test, and the services beside them: the tests break realms on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenants_api.composition import Services
from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms, services_for, settings_for


@pytest.fixture
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex", "initech") as server:
        yield server


@pytest.fixture
async def services(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[Services]:
    """The reconciler's turns happen when the test says so."""
    async with services_for(settings_for(realms, tmp_path, reconcile_interval=900)) as opened:
        yield opened
