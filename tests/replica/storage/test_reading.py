"""What is read of the registry: every row, its types, its order."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from sqlalchemy import text

from tenants_api.database.engine import Base, Database
from tenants_api.ids import new_id
from tenants_api.registry.changes import REGISTRY_BATCH_SIZE
from tenants_api.registry.models import Realm, RealmKeysRow, RoleRuleRow, Tenant
from tenants_api.registry.values import Health, TenantState, Transition
from tests.registry.drafts import RULES, create, move, purge, realm
from tests.replica.storage.stores import NOON, Store, filled, stored_keys


def differing(read: Any, row: Base, *, apart: tuple[str, ...] = ()) -> list[str]:
    """The fields of what was read that are not what the column of that name holds."""
    stored = {one.name: getattr(row, one.name) for one in fields(read) if one.name not in apart}
    plain = {name: tuple(one) if isinstance(one, list) else one for name, one in stored.items()}
    return [name for name, one in plain.items() if (type(getattr(read, name)), getattr(read, name)) != (type(one), one)]


@pytest.mark.parametrize("state", TenantState)
async def test_every_column_is_read_as_it_is_stored(store: Store, database: Database, state: TenantState) -> None:
    """No column holds its default: one that the storage leaves out is found here."""
    tenant_id, realm_id = new_id(), new_id()
    tenant = filled(Tenant, id=tenant_id, state=str(state), resource_metadata=True)
    realm = filled(Realm, id=realm_id, tenant_id=tenant_id, health=Health.DEGRADED, enabled=False)
    rule, keys = (
        filled(RoleRuleRow, tenant_id=tenant_id, position=9),
        filled(RealmKeysRow, realm_id=realm_id, digest="d" * 64),
    )
    async with database.begin() as session:
        for some in ([tenant], [realm, rule], [keys]):
            session.add_all(some)
            await session.flush()
    ((row,), (stored,)) = await store.all(), await store.stored()
    assert differing(row, tenant, apart=("realms", "rules")) == []
    assert (differing(row.realms[0], realm), differing(row.rules[0], rule)) == ([], [])
    assert differing(stored, keys) == []
    assert await store.since(row.changed_version - 1) == [row]
    assert await store.stored(realm_id) == [stored]


async def test_order_is_that_of_changes_positions_and_ids(store: Store, database: Database) -> None:
    await create(database, "acme", realms=(realm("zulu"), realm("alpha")), role_mapping=RULES)
    await create(database, "globex")
    await move(database, "acme", Transition.ACTIVATE)
    assert [row.slug for row in await store.all()] == ["acme", "globex"]
    rows = await store.since(0)
    assert [(row.slug, row.changed_version) for row in rows] == [("globex", 2), ("acme", 3)]
    assert rows[1].rules == RULES
    ids = [one.id for one in rows[1].realms]
    assert ids == sorted(ids)
    assert rows[1].realms[0].organization is None


async def test_only_what_changed_is_read_and_what_was_purged_comes_first(store: Store, database: Database) -> None:
    tenant = await create(database, "acme")
    await create(database, "globex")
    seen = await store.version()
    assert await store.since(seen) == []
    await purge(database, "acme")
    again = await create(database, "acme")
    rows = await store.since(seen)
    assert [(row.id, row.state) for row in rows] == [(tenant.id, TenantState.DELETED), (again.id, TenantState.DRAFT)]
    assert (rows[0].realms, rows[0].rules, rows[0].slug) == ((), (), "")
    assert await store.version() == rows[1].changed_version
    assert await store.since(rows[1].changed_version) == []


async def test_restored_backup_is_read_with_its_lower_version(store: Store, database: Database) -> None:
    await create(database, "acme")
    assert await store.version() == 1
    async with database.begin() as session:
        await session.execute(text("delete from tenants"))
        await session.execute(text("update registry_version set version = 0"))
    assert (await store.version(), await store.all()) == (0, [])


async def test_every_tenant_is_read_once_however_many_there_are(store: Store, database: Database) -> None:
    count = 2 * REGISTRY_BATCH_SIZE + 1
    async with database.begin() as session:
        session.add_all(filled(Tenant, id=new_id(), slug=f"tenant-{number}", state="draft") for number in range(count))
    async with store.registry.read() as reading:
        parts = [[tenant.id for tenant in some] async for some in reading.load_all()]
    assert [len(part) for part in parts] == [REGISTRY_BATCH_SIZE, REGISTRY_BATCH_SIZE, 1]
    ids = [one for part in parts for one in part]
    assert ids == sorted(set(ids))


async def test_every_key_set_is_read_once_however_many_there_are(store: Store, database: Database) -> None:
    count = 2 * REGISTRY_BATCH_SIZE + 1
    async with database.begin() as session:
        tenant = filled(Tenant, id=new_id(), state="draft")
        session.add(tenant)
        await session.flush()
        realms = [filled(Realm, id=new_id(), tenant_id=tenant.id, health=Health.HEALTHY) for _ in range(count)]
        session.add_all(realms)
        await session.flush()
        session.add_all(filled(RealmKeysRow, realm_id=realm.id, digest="0" * 64) for realm in realms)
    async with store.registry.read() as reading:
        parts = [[keys.realm_id for keys in some] async for some in reading.load_all_keys()]
    assert [len(part) for part in parts] == [REGISTRY_BATCH_SIZE, REGISTRY_BATCH_SIZE, 1]
    assert [one for part in parts for one in part] == sorted(realm.id for realm in realms)


async def test_more_realms_than_a_query_takes_are_read_in_parts(store: Store, database: Database) -> None:
    tenant = await create(database, "acme")
    keys = stored_keys(tenant.realms[0].id)
    await store.registry.store_keys(keys, notify=False)
    unknown = [new_id() for _ in range(2 * REGISTRY_BATCH_SIZE)]
    assert await store.stored(*unknown, keys.realm_id) == [keys]
    async with store.registry.read() as reading:
        assert await reading.load_keys([]) == []
    assert keys.fetched_at == NOON


async def test_reader_is_not_held_up_by_a_writer(store: Store, database: Database) -> None:
    await create(database, "acme")
    async with database.begin() as session:
        await session.execute(text("update registry_version set version = 40"))
        assert await store.version() == 1
