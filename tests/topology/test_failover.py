"""The primary is killed, its standby promoted: the URL names both hosts, and nobody is told anything."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tenants_api.assertions.storage import SealedKey
from tenants_api.database import migrations as migrating
from tenants_api.database.engine import Database
from tenants_api.database.errors import StorageError
from tenants_api.devkit.realms import DevRealmServer
from tests.live.chaos.load import Caller
from tests.replica.storage.stores import Store, opened_store
from tests.support.postgres import APP, OWNER, SUPERUSER
from tests.support.processes import wait_for
from tests.support.restartable_postgres import PostgresProcess, restartable_postgres
from tests.support.waiting import becomes
from tests.topology.stage import Replicas, replicas

pytestmark = pytest.mark.xdist_group("failover")


@dataclass(frozen=True)
class Pair:
    """A primary and the standby that streams from it."""

    primary: PostgresProcess
    standby: PostgresProcess
    database: str

    def url(self, role: str) -> str:
        hosts = "&".join(f"host=127.0.0.1:{one.server.port}" for one in (self.primary, self.standby))
        return f"postgresql+psycopg://{role}@/{self.database}?{hosts}&target_session_attrs=read-write"

    def caught_up(self) -> bool:
        """Whether the standby has replayed all that the primary wrote."""
        with psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{self.primary.server.port}/postgres") as primary:
            written = primary.execute("select pg_current_wal_insert_lsn()").fetchone()
        with psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{self.standby.server.port}/postgres") as standby:
            query = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            replayed = standby.execute(query, written).fetchone()
        return replayed == (True,)


@pytest.fixture
def pair(postgres_programs: Path) -> Iterator[Pair]:
    with restartable_postgres(postgres_programs) as primary:
        name = primary.server.create_database().rpartition("/")[2]
        with restartable_postgres(postgres_programs, primary=primary.server) as standby:
            yield Pair(primary, standby, name)


@pytest.fixture
def stage(pair: Pair, realms: DevRealmServer, tmp_path: Path) -> Iterator[Replicas]:
    migrating.upgrade(pair.url(OWNER))
    with replicas(tmp_path, realms, count=2, workers=2, variables={"TENANTS_DATABASE_URL": pair.url(APP)}) as opened:
        yield opened


def test_standby_takes_over_and_no_good_token_is_refused(pair: Pair, stage: Replicas) -> None:
    token = stage.onboard("acme", realm="acme")
    assert stage.call("POST", "/v1/items", token=token, json={"title": "before"}).status_code == 201
    wait_for(pair.caught_up, what="the standby has it all")
    callers = [Caller(one.base_url, token=token) for one in stage.served]
    try:
        wait_for(lambda: all(one.answers()["200"] > 20 for one in callers), what="there is load")
        pair.primary.signal(signal.SIGKILL)
        without = stage.call("GET", "/v1/items", token=token)
        assert (without.status_code, without.json()["code"]) == (503, "registry_unavailable")
        assert "Retry-After" in without.headers
        pair.standby.promote()
        wait_for(lambda: titles(stage, token=token) == {"before"}, what="items are read again")
        assert stage.call("POST", "/v1/items", token=token, json={"title": "after"}).status_code == 201
        assert titles(stage, token=token) == {"before", "after"}
        wait_for(lambda: feeds(stage) == {"listening"}, what="every replica listens to the new primary")
        assert sum((one.answers() for one in callers), Counter()).keys() == {"200"}
    finally:
        for one in callers:
            one.end()
    stage.admin("POST", "/tenants/acme/suspend", json={})
    stage.settle()
    assert stage.everywhere(token) == {403}


def test_connection_to_a_primary_that_became_read_only_is_left(pair: Pair, stage: Replicas) -> None:
    """A switch-over in order: the old primary lives on as a reader and keeps its connections open."""
    token = stage.onboard("acme", realm="acme")
    assert stage.call("POST", "/v1/items", token=token, json={"title": "before"}).status_code == 201
    wait_for(pair.caught_up, what="the standby has it all")
    with psycopg.connect(
        f"postgresql://{SUPERUSER}@127.0.0.1:{pair.primary.server.port}/postgres", autocommit=True
    ) as primary:
        primary.execute("alter system set default_transaction_read_only = on")
        primary.execute("select pg_reload_conf()")
    pair.standby.promote()
    created = {"title": "after"}
    wait_for(
        lambda: stage.call("POST", "/v1/items", token=token, json=created).status_code == 201,
        what="writes go to the new primary",
    )
    for _ in range(20):  # each on a new connection, so that no worker of either replica is left out
        wait_for(lambda: titles(stage, token=token) == {"before", "after"}, what="and are read there")


def test_reads_alone_leave_a_primary_that_became_read_only(pair: Pair) -> None:
    """A worker that never writes must not read the old rows for ever."""

    async def where(database: Database) -> int:
        async with database.read() as session:
            return int(await session.scalar(text("select inet_server_port()")))

    async def both() -> tuple[int, int]:
        database = Database(pair.url(APP), pool_size=2)
        try:
            before = await where(database)
            with psycopg.connect(
                f"postgresql://{SUPERUSER}@127.0.0.1:{pair.primary.server.port}/postgres", autocommit=True
            ) as primary:
                primary.execute("alter system set default_transaction_read_only = on")
                primary.execute("select pg_reload_conf()")
            pair.standby.promote()
            await becomes(pair.standby.server.port, lambda: where(database), within=5.0)
            return before, await where(database)
        finally:
            await database.aclose()

    assert asyncio.run(both()) == (pair.primary.server.port, pair.standby.server.port)


async def test_storage_finds_the_new_primary(pair: Pair) -> None:
    await asyncio.to_thread(migrating.upgrade, pair.url(OWNER))
    async with opened_store(pair.url(APP)) as store:
        assert await store.keys.add_assertion_key(SealedKey(1, 100, b"one"), outdated=())
        await asyncio.to_thread(wait_for, pair.caught_up, what="the standby has it all")
        await asyncio.to_thread(pair.primary.signal, signal.SIGKILL)
        with pytest.raises(StorageError):
            await store.version()
        await asyncio.to_thread(pair.standby.promote)
        await becomes(True, lambda: added(store, SealedKey(2, 200, b"two")))
        assert [key.sequence for key in await store.keys.assertion_keys()] == [1, 2]


async def added(store: Store, key: SealedKey) -> bool:
    """False while there is no primary."""
    try:
        return await store.keys.add_assertion_key(key, outdated=())
    except StorageError:
        return False


def titles(stage: Replicas, *, token: str) -> set[str]:
    """What each replica reads; empty while one cannot."""
    found: list[set[str]] = []
    for one in stage.served:
        answer = one.call("GET", "/v1/items", token=token)
        if answer.status_code != 200:
            return set()
        found.append({item["title"] for item in answer.json()["data"]})
    return found[0] if all(one == found[0] for one in found) else set()


def feeds(stage: Replicas) -> set[str]:
    """The state of the change feed, on enough workers to have met all."""
    return {one.admin("GET", "/status").json()["registry"]["feed"] for one in stage.served for _ in range(6)}
