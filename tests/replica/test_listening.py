"""Notifications shorten the wait for a change, and nothing depends on them: each way to lose one is tried here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
import pytest
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from tenants_api.control.recording import create as create_tenant
from tenants_api.database.engine import Database
from tenants_api.registry.values import CHANNEL
from tenants_api.replica.feed import ChangeFeed
from tenants_api.replica.listener import Listener
from tenants_api.replica.sql_storage import SessionStorage
from tests.registry.drafts import CHANGE, create, draft, purge
from tests.support.postgres import SUPERUSER, PostgresServer
from tests.support.relay import Relay
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]

NEVER = 3600.0  # an interval at which no poll happens within a test


@dataclass
class Told:
    """What a feed was told, in order."""

    changes: list[int] = field(default_factory=list)
    doubts: list[int] = field(default_factory=list)

    async def change(self, version: int) -> None:
        self.changes.append(version)

    async def doubt(self, version: int) -> None:
        self.doubts.append(version)


@pytest.fixture
def told() -> Told:
    return Told()


@asynccontextmanager
async def following(
    database: Database, told: Told, *, interval: float, listen: str | None = None
) -> AsyncIterator[ChangeFeed]:
    """A feed that has looked once and listens."""
    url = listen or database.engine.url.render_as_string(hide_password=False)
    feed = ChangeFeed(
        SessionStorage(database), interval=interval, on_change=told.change, on_resync=told.doubt, listen=url
    )
    feed.loaded(0)
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.state == "listening")
        yield feed
    finally:
        running.cancel()
        await asyncio.wait({running})


def kill_listeners(server: PostgresServer, name: str) -> int:
    """End the connections that listen; how many there were."""
    with psycopg.connect(server.url("postgres", role=SUPERUSER).replace("+psycopg", ""), autocommit=True) as superuser:
        found = superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = %s and application_name = 'tenants-api feed'",
            (name,),
        ).fetchall()
    return len(found)


async def test_notification_brings_a_change_without_a_poll(server_database: Database, told: Told) -> None:
    async with following(server_database, told, interval=NEVER) as feed:
        await create(server_database, "acme")
        await create(server_database, "globex")
        await until(lambda: feed.version == 2)
    assert told.changes[-1] == 2
    assert told.doubts == []


async def test_notification_carries_the_version_and_the_tenants_id_alone(
    server_database: Database, server_url: str
) -> None:
    plain = server_url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
        await connection.execute(f"listen {CHANNEL}".encode())
        acme = await create(server_database, "acme")
        notices = [notice async for notice in connection.notifies(timeout=60, stop_after=1)]
    assert [notice.payload for notice in notices] == [f"1 {acme.id}"]


async def test_change_that_is_rolled_back_is_not_announced(server_database: Database, told: Told) -> None:
    heard: list[int] = []
    url = server_database.engine.url.render_as_string(hide_password=False)
    listener = Listener(url, on_notify=heard.append, on_connect=lambda: None)
    running = asyncio.create_task(listener.run())
    await until(lambda: listener.listening)
    async with server_database.sessions() as session:
        await create_tenant(session, draft=draft("globex"), change=CHANGE)
        await session.rollback()
    await create(server_database, "acme")
    await until(lambda: heard != [])
    running.cancel()
    await asyncio.wait({running})
    assert heard == [1]


async def test_lost_connection_is_made_anew_and_ends_in_a_full_compare(
    postgres_server: PostgresServer, server_database: Database, told: Told
) -> None:
    name = str(server_database.engine.url.database)
    async with following(server_database, told, interval=NEVER) as feed:
        assert await asyncio.to_thread(kill_listeners, postgres_server, name) == 1
        await until(lambda: feed.state == "polling")
        await create(server_database, "acme")  # announced to nobody
        await until(lambda: told.doubts == [1])
        await until(lambda: feed.state == "listening")
        await create(server_database, "globex")
        await until(lambda: told.changes == [2])


async def test_lost_notification_is_caught_by_the_poll_and_ends_in_a_full_compare(
    server_database: Database, told: Told
) -> None:
    async with following(server_database, told, interval=0.05) as feed:
        async with server_database.begin() as session:
            await session.execute(text("update registry_version set version = 5"))
        await until(lambda: told.changes == [5])
        await until(lambda: told.doubts == [5])
        await until(lambda: feed.state == "listening")


async def test_version_that_falls_ends_in_a_full_compare(server_database: Database, told: Told) -> None:
    await create(server_database, "acme")
    async with following(server_database, told, interval=0.05) as feed:
        await until(lambda: feed.version == 1)
        async with server_database.begin() as session:
            await session.execute(text("update registry_version set version = 0"))
        await until(lambda: told.doubts[-1:] == [0])
        assert feed.version == 0


async def test_listener_that_hangs_is_given_up_and_polling_goes_on_meanwhile(server_url: str, told: Told) -> None:
    """The socket stays open and nothing comes: only a question that is not answered finds it out."""
    parsed = make_url(server_url)
    async with Relay(str(parsed.host), int(parsed.port or 0)) as relay:
        connects: list[int] = []
        through = parsed.set(port=relay.port).render_as_string(hide_password=False)
        listener = Listener(
            through,
            on_notify=lambda version: None,
            on_connect=lambda: connects.append(1),
            heartbeat=0.1,
            answer_deadline=1.0,
        )
        running = asyncio.create_task(listener.run())
        await until(lambda: listener.listening)
        relay.freeze()
        given_up, listened = relay.accepted, len(connects)
        await until(lambda: not listener.listening)
        await until(lambda: relay.accepted > given_up)  # it hangs up, and tries anew
        assert len(connects) == listened
        assert not running.done()
        relay.thaw()
        await until(lambda: len(connects) > listened and listener.listening)
        running.cancel()
        await asyncio.wait({running})


async def test_what_somebody_else_sends_on_the_channel_is_no_change(server_database: Database, told: Told) -> None:
    async with following(server_database, told, interval=NEVER) as feed:
        for payload in ("", "no number", "-1", "9" * 7000, "٣"):
            async with server_database.begin() as session:
                await session.execute(
                    text("select pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload}
                )
        await create(server_database, "acme")
        await until(lambda: feed.version == 1)
    assert told.changes == [1]


async def test_feed_without_a_server_to_listen_to_polls(server_database: Database, told: Told) -> None:
    feed = ChangeFeed(
        SessionStorage(server_database),
        interval=0.02,
        on_change=told.change,
        on_resync=told.doubt,
        listen="postgresql+psycopg://nobody@127.0.0.1:1/nothing",
    )
    feed.loaded(0)
    running = asyncio.create_task(feed.run())
    await create(server_database, "acme")
    await until(lambda: told.changes == [1])
    assert feed.state == "polling"
    running.cancel()
    await asyncio.wait({running})


async def test_purge_is_announced_too(server_database: Database, told: Told) -> None:
    await create(server_database, "acme")
    async with following(server_database, told, interval=NEVER) as feed:
        await purge(server_database, "acme")
        await until(lambda: feed.version == 3)


async def test_listener_that_cannot_connect_logs_one_line_with_the_drivers_words() -> None:
    attempts = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql+psycopg://app@127.0.0.1:{port}/tenants"
    listener = Listener(url, on_notify=lambda version: None, on_connect=lambda: None)
    with capture_logs() as events:
        running = asyncio.create_task(listener.run())
        try:
            await until(lambda: attempts >= 4)
        finally:
            running.cancel()
            await asyncio.wait({running})
            server.close()
    (lost,) = events
    assert lost["event"] == "registry_listener_lost"
    assert str(port) in lost["detail"]
