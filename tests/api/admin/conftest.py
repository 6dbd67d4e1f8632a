"""One application on an empty registry for each test, beside development realms that the module shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, running_app


@pytest.fixture(scope="module")
def server() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex", "initech", "platform") as server:
        yield server


@pytest.fixture
def realms(server: DevRealmServer) -> Iterator[DevRealmServer]:
    """The development realms, whole again after the test."""
    yield server
    for realm in server.realms.values():
        realm.faults.clear()


@pytest.fixture
async def api(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms) as client:
        yield client


@pytest.fixture(scope="module")
async def empty_api(server: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    """One application for all tests of a module that leave its registry empty."""
    async with running_app(tmp_path_factory.mktemp("empty"), server) as client:
        yield client
