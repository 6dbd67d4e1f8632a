"""The feed of changes while its database goes away and comes back, on both databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event, text
from structlog.testing import capture_logs

from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageError
from tenants_api.replica.feed import ChangeFeed
from tenants_api.replica.sql_storage import SessionStorage
from tests.registry.drafts import create
from tests.replica.counted_reads import CountedReads
from tests.support.postgres import SUPERUSER, PostgresServer
from tests.support.waiting import until

INTERVAL = 0.01


@asynccontextmanager
async def away(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[None]:
    """PostgreSQL ends every connection and takes no new one; of the SQLite file the table that is asked is gone."""
    if database.is_postgresql:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = str(database.engine.url.database)
        await asyncio.to_thread(_accept, server, name, connections=False)
        yield
        await asyncio.to_thread(_accept, server, name, connections=True)
        return
    await _execute(database, "alter table registry_version rename to gone")
    yield
    await _execute(database, "alter table gone rename to registry_version")


def _accept(server: PostgresServer, name: str, *, connections: bool) -> None:
    with psycopg.connect(server.url("postgres", role=SUPERUSER).replace("+psycopg", ""), autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("alter database {} with allow_connections {}").format(
                sql.Identifier(name), sql.Literal(connections)
            )
        )
        superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))


async def _execute(database: Database, statement: str) -> None:
    async with database.begin() as session:
        await session.execute(text(statement))


@asynccontextmanager
async def following(feed: ChangeFeed) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(feed.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_feed_outlives_an_outage_and_tells_what_changed_after_it(
    request: pytest.FixtureRequest, database: Database
) -> None:
    told: list[int] = []

    async def on_change(version: int) -> None:
        told.append(version)

    storage = CountedReads(database)
    feed = ChangeFeed(storage, interval=INTERVAL, on_change=on_change)
    async with following(feed) as running:
        await until(lambda: told == [0])
        async with away(request, database):
            with pytest.raises(StorageError):
                await feed.poll()
            before = feed.last_seen
            await storage.several_more()
            assert feed.last_seen == before
            assert not running.done()
        await create(database, "acme")
        await until(lambda: told == [0, 1])
        assert feed.last_seen > before
        assert feed.alive


async def test_outage_is_one_line_with_the_drivers_words_and_its_end_another(
    request: pytest.FixtureRequest, database: Database
) -> None:
    async def on_change(version: int) -> None:
        return

    storage = CountedReads(database)
    feed = ChangeFeed(storage, interval=INTERVAL, on_change=on_change)
    with capture_logs() as events:
        async with following(feed):
            await until(lambda: feed.version == 0)
            async with away(request, database):
                await until(lambda: bool(events))
                await storage.several_more()
            await until(lambda: len(events) > 1 and events[-1]["event"] == "registry_read_again")
    lost, *others = (one for one in events if one["event"] == "registry_not_read")
    assert len({one["error"] for one in (lost, *others)}) == 1 + len(others), "the same cause is logged once"
    assert lost["detail"] not in (None, "", lost["error"])


async def test_change_that_could_not_be_taken_in_is_told_again(database: Database) -> None:
    told: list[int] = []

    async def on_change(version: int) -> None:
        told.append(version)
        if len(told) == 1:
            raise OSError("the connection is lost in the middle")

    feed = ChangeFeed(SessionStorage(database), interval=INTERVAL, on_change=on_change)
    async with following(feed):
        await until(lambda: feed.version == 0)
    assert told == [0, 0]


async def test_feed_that_never_looked_is_not_alive_however_short_the_machine_is_up(database: Database) -> None:
    async def on_change(version: int) -> None:
        return

    # An interval that makes any uptime "lately": the clock that counts from boot must not decide.
    feed = ChangeFeed(SessionStorage(database), interval=1e9, on_change=on_change)
    assert not feed.alive
    await feed.poll()
    assert feed.alive


async def test_mistake_while_a_change_is_applied_does_not_end_the_feed(database: Database) -> None:
    applied: list[int] = []

    async def apply(version: int) -> None:
        applied.append(version)
        if len(applied) < 3:
            raise KeyError("a mistake of ours")

    feed = ChangeFeed(SessionStorage(database), interval=0.02, on_change=apply)
    following = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.version >= 0)
    finally:
        following.cancel()
        await asyncio.wait({following})
    assert len(applied) == 3


async def test_idle_sqlite_file_is_not_read_again_and_a_commit_by_another_connection_is(
    migrated_file: Path, tmp_path: Path
) -> None:
    database = Database(f"sqlite+aiosqlite:///{shutil.copy(migrated_file, tmp_path / 'tenants.db')}")
    told: list[int] = []
    statements: list[str] = []

    async def on_change(version: int) -> None:
        told.append(version)

    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    feed = ChangeFeed(SessionStorage(database), interval=INTERVAL, on_change=on_change)
    async with following(feed):
        await until(lambda: told == [0])
        seen = feed.last_seen
        await until(lambda: feed.last_seen > seen + 5 * INTERVAL)
        assert len([one for one in statements if "registry_version" in one]) == 1
        await create(database, "acme")
        await until(lambda: told == [0, 1])
    await database.aclose()


async def test_outage_ends_in_a_full_compare(request: pytest.FixtureRequest, database: Database) -> None:
    told: list[str] = []

    async def on_change(version: int) -> None:
        told.append(f"change {version}")

    async def on_resync(version: int) -> None:
        told.append(f"doubt {version}")

    storage = CountedReads(database)
    feed = ChangeFeed(storage, interval=INTERVAL, on_change=on_change, on_resync=on_resync)
    async with following(feed):
        await until(lambda: told == ["change 0"])
        async with away(request, database):
            await storage.several_more()
        await until(lambda: told == ["change 0", "doubt 0"])


async def test_compare_that_fails_is_made_again(database: Database) -> None:
    tried: list[int] = []

    async def on_change(version: int) -> None:
        return

    async def on_resync(version: int) -> None:
        tried.append(version)
        if len(tried) == 1:
            raise OSError("the connection is lost in the middle")

    feed = ChangeFeed(SessionStorage(database), interval=INTERVAL, on_change=on_change, on_resync=on_resync)
    feed.loaded(7)  # the database holds 0: a backup was restored
    async with following(feed):
        await until(lambda: feed.version == 0)
    assert tried == [0, 0]
