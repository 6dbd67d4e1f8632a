"""How replicas learn of changes: versions in the order of commits, and a feed that outlives the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenants_api import migrating
from tenants_api.db import Database
from tenants_api.registry.changes import changed_since, current_version, load_all
from tenants_api.registry.creation import create as create_tenant
from tenants_api.registry.feed import ChangeFeed
from tenants_api.registry.sessions import SessionStorage
from tenants_api.registry.values import TenantRow, TenantState, Transition
from tenants_api.role_rules import RoleRule
from tests.registry.counted_reads import CountedReads
from tests.registry.drafts import CHANGE, RULES, create, draft, issuer_of, move, purge, read, realm
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def version_of(database: Database) -> int:
    async with database.read() as session:
        return await current_version(session)


async def since(database: Database, version: int) -> list[TenantRow]:
    async with database.read() as session:
        return await changed_since(session, version=version)


async def test_every_change_raises_the_version_by_one(database: Database) -> None:
    assert await version_of(database) == 0
    await create(database, "acme")
    await move(database, "acme", Transition.ACTIVATE)
    assert await version_of(database) == 2
    assert (await read(database, "acme")).changed_version == 2


async def test_change_that_is_rolled_back_raises_nothing(database: Database) -> None:
    async with database.sessions() as session:
        await create_tenant(session, draft=draft("acme"), change=CHANGE)
        assert await current_version(session) == 1
        await session.rollback()
    assert await version_of(database) == 0


async def test_changes_at_the_same_instant_get_versions_of_their_own(database: Database) -> None:
    tenants = await asyncio.gather(*(create(database, f"tenant-{number}") for number in range(6)))
    assert sorted(tenant.changed_version for tenant in tenants) == [1, 2, 3, 4, 5, 6]


async def test_only_what_changed_since_is_read(database: Database) -> None:
    await create(database, "acme", role_mapping=RULES)
    await create(database, "globex")
    seen = await version_of(database)
    assert await since(database, seen) == []
    await move(database, "acme", Transition.ACTIVATE)
    (row,) = await since(database, seen)
    assert (row.slug, row.state, row.changed_version) == ("acme", "active", 3)
    assert row.rules == (RoleRule("realm", "owner", "admin"), RoleRule("group", "/staff", "viewer"))
    assert [(one.issuer, one.organization, one.audiences) for one in row.realms] == [
        (issuer_of("acme"), None, ("tenants-api",))
    ]


async def test_whole_registry_is_read_by_tenant(database: Database) -> None:
    await create(database, "acme", realms=(realm("one"), realm("two", organization="o")), role_mapping=RULES)
    await create(database, "globex")
    async with database.read() as session:
        rows = {row.slug: row async for some in load_all(session) for row in some}
    assert {one.organization for one in rows["acme"].realms} == {None, "o"}
    assert (len(rows["acme"].realms), len(rows["globex"].realms)) == (2, 1)
    assert (len(rows["acme"].rules), rows["globex"].rules) == (2, ())


async def test_replica_that_slept_through_a_purge_learns_of_it_before_what_took_its_place(database: Database) -> None:
    tenant = await create(database, "acme")
    seen = await version_of(database)
    await purge(database, "acme")
    again = await create(database, "acme")
    rows = await since(database, seen)
    assert [(row.id, row.state) for row in rows] == [(tenant.id, TenantState.DELETED), (again.id, TenantState.DRAFT)]
    assert rows[0].realms == ()


async def test_purge_is_told_once(database: Database) -> None:
    await create(database, "acme")
    await purge(database, "acme")
    seen = await version_of(database)
    assert len(await since(database, seen - 1)) == 1
    assert await since(database, seen) == []


async def test_feed_tells_of_each_version_once(database: Database) -> None:
    told: list[int] = []

    async def on_change(version: int) -> None:
        told.append(version)

    feed = ChangeFeed(SessionStorage(database), interval=60, on_change=on_change)
    await asyncio.gather(feed.poke(), feed.poke())
    await create(database, "acme")
    await asyncio.gather(feed.poke(), feed.poke(), feed.poke())
    assert told == [0, 1]
    assert feed.version == 1


async def test_feed_outlives_a_database_that_cannot_be_read(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'later.db'}"
    database, told = Database(url), asyncio.Event()

    async def on_change(version: int) -> None:
        told.set()

    storage = CountedReads(database)
    feed = ChangeFeed(storage, interval=0.01, on_change=on_change)
    running = asyncio.create_task(feed.run())
    await storage.several_more()
    assert not running.done()
    assert feed.version == -1
    await asyncio.to_thread(migrating.upgrade, url)
    await until(lambda: told.is_set() and feed.alive)
    running.cancel()
    await asyncio.wait({running})
    await database.aclose()
