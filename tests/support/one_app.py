"""One application with two tenants for each file of tests; who breaks something takes an application of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tenants_api.devrealms import DevRealmServer
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, onboard, running_app


@pytest.fixture(scope="module")
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server


@pytest.fixture(scope="module")
async def client(realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path_factory.mktemp("api"), realms, login_rate=1000) as opened:
        await onboard(opened, "acme", login_client_id="web")
        await onboard(opened, "globex")
        yield opened
