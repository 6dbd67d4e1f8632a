"""Stored key sets: what is news to other replicas, and what never replaces what."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tenants_api.db import Database
from tenants_api.ids import new_id
from tenants_api.registry import service
from tenants_api.registry.changes import changed_since, current_version
from tenants_api.registry.keys import AT_ONCE, load_all_keys, load_keys, store_keys
from tenants_api.registry.values import StoredKeys
from tests.registry.drafts import CHANGE, create, origin_of, realm

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def keys_of(realm_id: uuid.UUID, slug: str = "acme") -> StoredKeys:
    return StoredKeys(realm_id, b'{"keys":[]}', "a" * 64, NOON, 0, True, **origin_of(slug))


async def store(database: Database, keys: StoredKeys) -> bool:
    async with database.begin() as session:
        return await store_keys(session, keys)


async def load(database: Database, *realm_ids: uuid.UUID) -> list[StoredKeys]:
    async with database.read() as session:
        if realm_ids:
            return await load_keys(session, realm_ids=realm_ids)
        return [keys async for some in load_all_keys(session) for keys in some]


async def version_of(database: Database) -> int:
    async with database.read() as session:
        return await current_version(session)


async def test_keys_come_back_as_they_were_stored_for_their_realm_alone(database: Database) -> None:
    acme, globex = await create(database, "acme"), await create(database, "globex")
    ours, theirs = keys_of(acme.realms[0].id), replace(keys_of(globex.realms[0].id, "globex"), digest="b" * 64)
    assert await store(database, ours)
    assert await store(database, theirs)
    assert await load(database, acme.realms[0].id) == [ours]
    assert {one.realm_id for one in await load(database)} == {ours.realm_id, theirs.realm_id}


async def test_same_keys_again_are_no_news_but_their_age_is_kept(database: Database) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)
    await store(database, keys)
    version = await version_of(database)
    later = replace(keys, fetched_at=NOON + timedelta(minutes=5))
    assert not await store(database, later)
    assert (await version_of(database), await load(database)) == (version, [later])


@pytest.mark.parametrize("news", [{"digest": "b" * 64}, {"not_before": 7}, {"realm_enabled": False}], ids=str)
async def test_replicas_learn_of_new_keys(database: Database, news: dict[str, object]) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)
    await create(database, "globex")
    await store(database, keys)
    version = await version_of(database)
    assert await store(database, replace(keys, **news))  # type: ignore[arg-type]
    async with database.read() as session:
        assert [row.slug for row in await changed_since(session, version=version)] == ["acme"]


async def test_older_set_never_replaces_a_newer_one(database: Database) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)
    await store(database, keys)
    older = replace(keys, digest="b" * 64, fetched_at=NOON - timedelta(seconds=1))
    assert not await store(database, older)
    assert await load(database) == [keys]


async def test_keys_of_a_realm_that_is_gone_are_not_kept(database: Database) -> None:
    assert not await store(database, keys_of(new_id()))
    assert await load(database) == []


@pytest.mark.parametrize("changed", ["issuer", "realm_url"])
async def test_keys_fetched_for_another_origin_are_neither_kept_nor_stored(database: Database, changed: str) -> None:
    """An issuer that was changed must not get, or keep, the keys of the one before."""
    tenant = await create(database, "acme")
    await create(database, "globex")
    keys = keys_of(tenant.realms[0].id)
    assert await store(database, keys)
    moved = realm("acme", **{changed: "https://id.example/realms/moved"})
    async with database.begin() as session:
        await service.update_realm(
            session, ref="acme", realm_id=tenant.realms[0].id, draft=moved, if_match=None, change=CHANGE
        )
    assert await load(database) == [], "the change drops what was stored"
    late = replace(keys, digest="b" * 64, fetched_at=NOON + timedelta(minutes=5))
    assert not await store(database, late), "a replica that has not heard of the change yet"
    assert await load(database) == []
    ours = replace(keys, **{changed: "https://id.example/realms/moved"}, fetched_at=NOON - timedelta(minutes=5))  # type: ignore[arg-type]
    assert await store(database, ours)
    assert await load(database) == [ours]


async def test_keys_go_with_their_realm(database: Database) -> None:
    tenant = await create(database, "acme")
    await store(database, keys_of(tenant.realms[0].id))
    async with database.begin() as session:
        await service.remove_realm(session, ref="acme", realm_id=tenant.realms[0].id, if_match=None, change=CHANGE)
    assert await load(database) == []


async def test_two_replicas_that_fetch_at_the_same_instant_both_store(database: Database) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)
    stored = await asyncio.gather(*(store(database, keys) for _ in range(4)))
    assert sorted(stored) == [False, False, False, True]


async def test_storing_keys_and_changing_their_tenant_never_wait_for_each_other_for_ever(database: Database) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)

    async def rename(number: int) -> None:
        async with database.begin() as session:
            await service.update_tenant(
                session, ref="acme", fields={"name": f"Acme {number}"}, if_match=None, change=CHANGE
            )

    async with asyncio.timeout(60):
        for number in range(10):
            new = replace(keys, digest=f"{number:064}", fetched_at=NOON + timedelta(seconds=number))
            await asyncio.gather(store(database, new), rename(number))


async def test_more_realms_than_a_query_takes_are_read_in_parts(database: Database) -> None:
    keys = keys_of((await create(database, "acme")).realms[0].id)
    await store(database, keys)
    unknown = [new_id() for _ in range(2 * AT_ONCE)]
    assert await load(database, *unknown, keys.realm_id) == [keys]
