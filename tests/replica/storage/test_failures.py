"""The database goes away, hangs or becomes a standby: one error, and on it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageBusy, StorageError
from tenants_api.ids import new_id
from tenants_api.registry.values import Health
from tenants_api.replica.feed import ChangeFeed
from tests.registry.drafts import create, origin_of
from tests.replica.storage.stores import Store, opened_store, stored_keys
from tests.support.postgres import APP, SUPERUSER, PostgresServer
from tests.support.relay import Relay
from tests.support.waiting import DEADLINE, until


@pytest.fixture(params=[pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")])])
async def served(server_url: str) -> AsyncIterator[Store]:
    """The storage on PostgreSQL."""
    async with opened_store(server_url) as store:
        yield store


def as_superuser(server: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.url("postgres", role=SUPERUSER).replace("+psycopg", ""), autocommit=True) as superuser:
        superuser.execute(statement)


def end_all(server: PostgresServer, url: str) -> None:
    """End every connection of the application to this database."""
    query = "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and usename = {}"
    as_superuser(server, sql.SQL(query).format(sql.Literal(make_url(url).database), sql.Literal(APP)))


async def test_connections_that_died_while_idle_are_made_anew_without_an_error(
    served: Store, postgres_server: PostgresServer, server_url: str
) -> None:
    assert await served.version() == 0
    await asyncio.to_thread(end_all, postgres_server, server_url)
    assert await served.version() == 0
    await asyncio.to_thread(end_all, postgres_server, server_url)
    await served.registry.set_health(new_id(), **origin_of("acme"), health=Health.FAILING, reason=None)


async def test_connection_that_dies_in_a_transaction_is_our_error_and_the_next_is_new(
    served: Store, postgres_server: PostgresServer, server_url: str
) -> None:
    async def lose() -> None:
        async with served.registry.read() as reading:
            await reading.current_version()
            await asyncio.to_thread(end_all, postgres_server, server_url)
            await reading.current_version()

    with pytest.raises(StorageError) as lost:
        await lose()
    assert lost.value.cause == "AdminShutdown"
    assert await served.version() == 0


async def test_slow_statement_is_ended_and_leaves_no_lock_behind(served: Store, server_database: Database) -> None:
    keys = stored_keys((await create(server_database, "acme")).realms[0].id)
    async with server_database.begin() as session:
        await session.execute(text("update tenants set name = 'Acme' where slug = 'acme'"))
        with pytest.raises(StorageError) as slow:
            await served.registry.store_keys(keys, notify=True)
    assert slow.value.cause == "QueryCanceled"
    assert (await served.version(), await served.stored()) == (1, [])
    assert await served.registry.store_keys(keys, notify=True)


async def test_server_that_became_read_only_is_left(
    served: Store, server_database: Database, postgres_server: PostgresServer, server_url: str
) -> None:
    """Only a new connection finds the new primary: the setting here is one of new connections too."""
    keys = stored_keys((await create(server_database, "acme")).realms[0].id)
    name = sql.Identifier(str(make_url(server_url).database))
    change = sql.SQL("alter database {} set default_transaction_read_only = {}")
    await asyncio.to_thread(as_superuser, postgres_server, change.format(name, sql.SQL("on")))
    with pytest.raises(StorageError) as refused:
        await served.registry.store_keys(keys, notify=False)
    assert refused.value.cause == "ReadOnlySqlTransaction"
    await asyncio.to_thread(as_superuser, postgres_server, change.format(name, sql.SQL("off")))
    assert await served.registry.store_keys(keys, notify=False)
    assert await served.stored() == [keys]


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_server_that_is_not_there_is_our_error_without_the_password() -> None:
    nowhere = "postgresql+psycopg://nobody:s3cret@127.0.0.1:1/nothing"
    async with opened_store(nowhere) as store:
        with pytest.raises(StorageError) as absent:
            await store.version()
    assert "s3cret" not in str(absent.value)
    assert "\n" not in str(absent.value)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_server_that_hangs_with_its_connections_open_is_given_up(server_url: str) -> None:
    async with through_relay(server_url) as (relay, url), opened_store(url) as store:
        assert await store.version() == 0
        relay.freeze()
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(StorageError):
                await store.version()
        relay.thaw()
        assert await store.version() == 0


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_cancelled_reader_of_a_server_that_hangs_ends_and_gives_its_connection_up(server_url: str) -> None:
    """The change feed ends a poll that takes too long, and a process that stops ends all of them."""
    async with through_relay(server_url) as (relay, url), opened_store(url, timeout=3600) as store:
        assert await store.version() == 0
        relay.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.version()
        relay.thaw()
        assert await store.version() == 0


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_all_our_own_connections_in_use_is_told_apart(server_url: str) -> None:
    """It must not make the change feed compare everything: that would be more load."""
    async with opened_store(server_url) as store, AsyncExitStack() as holding:
        for _ in range(2):
            reading = await holding.enter_async_context(store.registry.read())
            await reading.current_version()
        with pytest.raises(StorageBusy):
            await store.version()
        await holding.aclose()
        assert await store.version() == 0


async def test_file_that_was_never_migrated_is_our_error(tmp_path: Path) -> None:
    async with opened_store(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}") as store:
        with pytest.raises(StorageError, match="no such table") as empty:
            await store.version()
        assert empty.value.cause == "OperationalError"


async def test_feed_follows_changes_outages_and_a_version_that_falls(store: Store, database: Database) -> None:
    told: list[str] = []

    async def on_change(version: int) -> None:
        told.append(f"change {version}")

    async def on_resync(version: int) -> None:
        told.append(f"doubt {version}")

    feed = ChangeFeed(store.registry, interval=0.02, on_change=on_change, on_resync=on_resync)
    async with followed(feed):
        await until(lambda: told == ["change 0"])
        tenant = await create(database, "acme")
        await until(lambda: told[1:] == ["change 1"])
        await store.registry.store_keys(stored_keys(tenant.realms[0].id), notify=False)
        await until(lambda: told[2:] == ["change 2"])
        await store.registry.set_health(tenant.realms[0].id, **origin_of("acme"), health=Health.FAILING, reason=None)
        async with database.begin() as session:
            await session.execute(text("update registry_version set version = 1"))
        await until(lambda: told[3:] == ["doubt 1"])
    assert feed.version == 1


@asynccontextmanager
async def followed(feed: ChangeFeed) -> AsyncIterator[None]:
    running = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})


@asynccontextmanager
async def through_relay(url: str) -> AsyncIterator[tuple[Relay, str]]:
    """A relay before the server, and the URL through it."""
    parsed = make_url(url)
    async with Relay(str(parsed.host), int(parsed.port or 0)) as relay:
        yield relay, parsed.set(port=relay.port).render_as_string(hide_password=False)
