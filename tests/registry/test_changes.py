"""How replicas learn of changes: versions in the order of commits, and a feed that outlives the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenants_api.control.recording import create as create_tenant
from tenants_api.database import migrations as migrating
from tenants_api.database.engine import Database
from tenants_api.registry.changes import current_version
from tenants_api.registry.values import Transition
from tenants_api.replica.feed import ChangeFeed
from tenants_api.replica.sql_storage import SessionStorage
from tests.registry.drafts import CHANGE, create, draft, move, read
from tests.replica.counted_reads import CountedReads
from tests.support.waiting import until


async def version_of(database: Database) -> int:
    async with database.read() as session:
        return await current_version(session)


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


async def test_feed_tells_of_each_version_once(database: Database) -> None:
    told: list[int] = []

    async def on_change(version: int) -> None:
        told.append(version)

    feed = ChangeFeed(SessionStorage(database), interval=60, on_change=on_change)
    await asyncio.gather(feed.poll(), feed.poll())
    await create(database, "acme")
    await asyncio.gather(feed.poll(), feed.poll(), feed.poll())
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
