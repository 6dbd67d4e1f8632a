"""What follows the registry has connections of its own: requests that have lent all of theirs hold up no suspension."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.pool import QueuePool

from tenants_api.composition import Services
from tenants_api.control import service
from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageBusy
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.values import StoredKeys, Transition
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import explain
from tests.registry.drafts import create, origin_of
from tests.support.realms import CHANGE, services_for, settings_for, tenant_draft


@pytest.fixture
async def services(realms: DevRealmServer, database_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    settings = settings_for(realms, tmp_path, database_url=database_url, database_pool_size=2, registry_poll=0.05)
    async with services_for(settings) as opened:
        for name in ("acme", "globex"):
            await opened.commands.create(tenant_draft(opened, realms, name), activate="now", change=CHANGE)
        yield opened


async def lend_all(services: Services, stack: AsyncExitStack) -> None:
    """Borrow every connection that requests may have."""
    pool = services.database.engine.pool
    assert isinstance(pool, QueuePool)
    for _ in range(pool.size() + max(0, pool._max_overflow)):
        await stack.enter_async_context(services.database.engine.connect())


async def test_suspension_is_heard_of_while_every_request_connection_is_lent(
    services: Services, realms: DevRealmServer
) -> None:
    settings = services.settings
    token, other = realms.realm("acme").mint(), realms.realm("globex").mint()
    assert (await explain(services.verifier, Credential.bearer(token))).reason == "accepted"
    async with services_for(settings, background=False) as elsewhere, AsyncExitStack() as lent:
        await lend_all(services, lent)
        async with elsewhere.database.begin() as session:
            await service.move(session, ref="acme", transition=Transition.SUSPEND, change=CHANGE)
        async with asyncio.timeout(60):  # it would be for ever: nobody gives a connection back
            while (await explain(services.verifier, Credential.bearer(token))).reason != "tenant_suspended":
                await asyncio.sleep(0.01)
        assert (await explain(services.verifier, Credential.bearer(other))).reason == "accepted"


async def test_writes_of_a_replica_leave_a_connection_to_read(database: Database, database_url: str) -> None:
    """Any number of key sets may wait for a lock that another replica holds; the version is read past them."""
    tenant = await create(database, "acme")
    keys = StoredKeys(tenant.realms[0].id, b"{}", "a" * 64, datetime.now(UTC), 0, True, **origin_of("acme"))
    own = Database(database_url, pool_size=2)
    storage = SessionStorage(own)
    async with database.begin() as session:  # holds the tenant's row, or the file's write lock
        await service.update_tenant(session, ref="acme", fields={"name": "Held"}, if_match=None, change=CHANGE)
        waiting = [asyncio.create_task(storage.store_keys(keys, notify=True)) for _ in range(6)]
        async with asyncio.timeout(60), storage.read() as reading:
            assert await reading.current_version() == 1
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    await own.aclose()


async def test_write_that_does_not_end_holds_up_no_other_for_ever(database: Database, database_url: str) -> None:
    tenant = await create(database, "acme")
    keys = StoredKeys(tenant.realms[0].id, b"{}", "a" * 64, datetime.now(UTC), 0, True, **origin_of("acme"))
    own = Database(database_url, pool_size=2)
    storage = SessionStorage(own, write_turn=0.05)
    async with database.begin() as session:
        await service.update_tenant(session, ref="acme", fields={"name": "Held"}, if_match=None, change=CHANGE)
        waiting = {asyncio.create_task(storage.store_keys(keys, notify=True)) for _ in range(2)}
        done, held = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().exception(), StorageBusy)
    assert await held.pop()
    assert not await storage.store_keys(keys, notify=False)
    await own.aclose()
