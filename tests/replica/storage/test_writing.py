"""What a replica writes: rows, in transactions that bear each other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tenants_api.assertions.storage import AssertionKey, SealedKey
from tenants_api.control import service
from tenants_api.database.engine import Database
from tenants_api.ids import new_id
from tenants_api.registry.models import AuditEvent, Realm, Rejection
from tenants_api.registry.values import CHANNEL, MAX_REJECTIONS_PER_TENANT, Health, Refused
from tests.registry.drafts import CHANGE, create, origin_of, purge, realm
from tests.replica.storage.stores import NOON, Store, opened_store, rows_of, stored_keys


async def realm_of(database: Database, slug: str) -> uuid.UUID:
    return (await create(database, slug)).realms[0].id


async def test_new_keys_are_news_to_every_replica_in_the_same_transaction(store: Store, database: Database) -> None:
    keys = stored_keys(await realm_of(database, "acme"))
    await create(database, "globex")
    assert await store.registry.store_keys(keys, notify=False)
    assert await store.stored() == [keys]
    assert await store.version() == 3
    assert [(row.slug, row.changed_version) for row in await store.since(2)] == [("acme", 3)]


async def test_same_keys_again_are_no_news_but_their_age_is_kept(store: Store, database: Database) -> None:
    keys = stored_keys(await realm_of(database, "acme"))
    await store.registry.store_keys(keys, notify=False)
    later = replace(keys, fetched_at=NOON + timedelta(minutes=5))
    assert not await store.registry.store_keys(later, notify=False)
    assert (await store.version(), await store.stored()) == (2, [later])
    assert not await store.registry.store_keys(later, notify=True)
    assert (await store.version(), [row.slug for row in await store.since(2)]) == (3, ["acme"])


@pytest.mark.parametrize("news", [{"digest": "b" * 64}, {"not_before": 8}, {"realm_enabled": True}], ids=str)
async def test_each_thing_that_a_set_says_is_news(store: Store, database: Database, news: dict[str, Any]) -> None:
    keys = stored_keys(await realm_of(database, "acme"))
    await store.registry.store_keys(keys, notify=False)
    assert await store.registry.store_keys(replace(keys, **news), notify=False)
    assert (await store.version(), await store.stored()) == (3, [replace(keys, **news)])


@pytest.mark.parametrize("tell", [False, True])
async def test_older_set_never_replaces_a_newer_one(store: Store, database: Database, tell: bool) -> None:
    keys = stored_keys(await realm_of(database, "acme"))
    await store.registry.store_keys(keys, notify=False)
    older = replace(keys, digest="b" * 64, fetched_at=NOON - timedelta(microseconds=1))
    assert not await store.registry.store_keys(older, notify=tell)
    assert (await store.version(), await store.stored()) == (2, [keys])


async def test_keys_of_a_realm_that_is_gone_are_not_kept_and_are_no_error(store: Store, database: Database) -> None:
    assert not await store.registry.store_keys(stored_keys(new_id()), notify=True)
    gone = await realm_of(database, "acme")
    await purge(database, "acme")
    version = await store.version()
    assert not await store.registry.store_keys(stored_keys(gone), notify=True)
    await store.registry.set_health(gone, **origin_of("acme"), health=Health.FAILING, reason=None)
    assert (await store.version(), await store.stored()) == (version, [])


@pytest.mark.parametrize("changed", ["issuer", "realm_url"])
async def test_keys_fetched_for_another_origin_are_neither_kept_nor_stored(
    store: Store, database: Database, changed: str
) -> None:
    """An issuer that was changed must not get, or keep, the keys of the one before."""
    keys = stored_keys(await realm_of(database, "acme"))
    await create(database, "globex")
    assert await store.registry.store_keys(keys, notify=False)
    new = {changed: "https://id.example/realms/moved"}
    async with database.begin() as session:
        await service.update_realm(
            session, ref="acme", realm_id=keys.realm_id, draft=realm("acme", **new), if_match=None, change=CHANGE
        )
    assert await store.stored() == [], "the change drops what was stored"
    late = replace(keys, digest="b" * 64, fetched_at=NOON + timedelta(minutes=5))
    assert not await store.registry.store_keys(late, notify=False), "a replica that has not read the change yet"
    assert await store.stored() == []
    ours = replace(keys, **new, fetched_at=NOON - timedelta(minutes=5))
    assert await store.registry.store_keys(ours, notify=False)
    assert await store.stored() == [ours]


async def test_keys_go_with_their_realm(store: Store, database: Database) -> None:
    keys = stored_keys(await realm_of(database, "acme"))
    await store.registry.store_keys(keys, notify=False)
    async with database.begin() as session:
        await service.remove_realm(session, ref="acme", realm_id=keys.realm_id, if_match=None, change=CHANGE)
    assert await store.stored() == []


async def test_replicas_at_the_same_instant_store_one_set_and_deadlock_with_no_change(
    database: Database, database_url: str
) -> None:
    keys = stored_keys(await realm_of(database, "acme"))

    async def rename(number: int) -> None:
        async with database.begin() as session:
            fields = {"name": f"Acme {number}"}
            await service.update_tenant(session, ref="acme", fields=fields, if_match=None, change=CHANGE)

    async with two_replicas(database_url) as (one, other), asyncio.timeout(60):
        for number in range(8):
            new = replace(keys, digest=f"{number:064}", fetched_at=NOON + timedelta(seconds=number))
            stored = asyncio.gather(*(by.registry.store_keys(new, notify=False) for by in (one, other, one, other)))
            said, _ = await asyncio.gather(stored, rename(number))
            assert sorted(said) == [False, False, False, True]
        assert await other.version() == 1 + 2 * 8
        assert await one.stored() == await other.stored()


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
async def test_new_keys_are_announced_when_they_are_committed(server_database: Database, server_url: str) -> None:
    tenant = await create(server_database, "acme")
    plain = server_url.replace("+psycopg", "")
    async with (
        opened_store(server_url) as store,
        await psycopg.AsyncConnection.connect(plain, autocommit=True) as hearing,
    ):
        await hearing.execute(f"listen {CHANNEL}".encode())
        await store.registry.store_keys(stored_keys(tenant.realms[0].id), notify=False)
        heard = [notice.payload async for notice in hearing.notifies(timeout=60, stop_after=1)]
    assert heard == [f"2 {tenant.id}"]


async def test_health_is_recorded_once_and_makes_the_checks_due(store: Store, database: Database) -> None:
    realm_id = await realm_of(database, "acme")
    for _ in range(2):
        await store.registry.set_health(realm_id, **origin_of("acme"), health=Health.FAILING, reason="HttpStatus")
    (row,) = await rows_of(database, Realm, id=realm_id)
    (event,) = await rows_of(database, AuditEvent, action="realm.health_changed")
    assert (row["health"], row["checked_at"], await store.version()) == ("failing", None, 1)
    assert event["changes"] == {
        "before": {"health": "unknown"},
        "after": {"health": "failing", "reason": "HttpStatus"},
    }


async def test_refused_tokens_are_counted_and_bounded_by_tenant(store: Store, database: Database) -> None:
    acme, globex = await create(database, "acme"), await create(database, "globex")
    again, gone = Refused(globex.id, "expired", "k"), Refused(new_id(), "expired")
    await store.registry.add_rejections({again: 2, gone: 1}, now=NOON)
    many = {Refused(acme.id, "unknown_key", f"kid-{number}"): 1 for number in range(MAX_REJECTIONS_PER_TENANT + 20)}
    later = NOON + timedelta(hours=1)
    await store.registry.add_rejections({**many, again: 5}, now=later)
    assert len(await rows_of(database, Rejection, tenant_id=acme.id)) == MAX_REJECTIONS_PER_TENANT
    (row,) = await rows_of(database, Rejection, tenant_id=globex.id)
    assert (row["count"], row["first_at"], row["last_at"], row["kid"]) == (7, NOON, later, "k")
    await store.registry.add_rejections({}, now=later)


async def test_replicas_that_count_the_same_refusals_at_once_lose_none(database: Database, database_url: str) -> None:
    tenants = [await create(database, f"t{number}") for number in range(5)]
    some = [Refused(tenant.id, "bad_signature", f"k{number}") for tenant in tenants for number in range(5)]
    counts = dict.fromkeys(some, 1), dict.fromkeys(some[::-1], 1)
    async with two_replicas(database_url) as stores:
        await asyncio.gather(
            *(stores[turn % 2].registry.add_rejections(counts[turn % 2], now=NOON) for turn in range(6))
        )
    assert [row["count"] for row in await rows_of(database, Rejection)] == [6] * 25


async def test_texts_of_refused_tokens_are_stored_as_they_are(store: Store, database: Database) -> None:
    refused = Refused((await create(database, "acme")).id, "wrong_audience", "kid'%s", "web", ("account", "ä"))
    await store.registry.add_rejections({refused: 3}, now=NOON)
    (row,) = await rows_of(database, Rejection)
    assert (row["kid"], row["authorized_party"], row["audience"]) == ("kid'%s", "web", ["account", "ä"])


async def test_signing_keys_are_shared_and_the_outdated_go(store: Store, database: Database) -> None:
    assert await store.keys.assertion_keys() == []
    first, second = SealedKey(1, 1 << 33, b"\x00one\xff"), SealedKey(2, 1 << 34, b"two")
    assert await store.keys.add_assertion_key(first, outdated=())
    assert not await store.keys.add_assertion_key(replace(first, sealed=b"another"), outdated=(1,))
    assert await store.keys.assertion_keys() == [first]
    assert await store.keys.add_assertion_key(second, outdated=(1,))
    assert await store.keys.assertion_keys() == [second]
    (row,) = await rows_of(database, AssertionKey)
    assert None not in row.values()
    assert row["created_at"].tzinfo is not None


async def test_replicas_agree_on_one_signing_key(database_url: str) -> None:
    async with two_replicas(database_url) as stores:
        keys = [SealedKey(1, 100, bytes([number])) for number in range(6)]
        made = await asyncio.gather(
            *(stores[number % 2].keys.add_assertion_key(key, outdated=()) for number, key in enumerate(keys))
        )
        assert sorted(made) == [False] * 5 + [True]
        for store in stores:
            assert await store.keys.assertion_keys() == [keys[made.index(True)]]


@asynccontextmanager
async def two_replicas(url: str) -> AsyncIterator[list[Store]]:
    async with opened_store(url, timeout=30) as one, opened_store(url, timeout=30) as other:
        yield [one, other]
