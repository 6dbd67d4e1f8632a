"""Items of two tenants: each sees, changes and removes its own and learns nothing of the other's."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tenants_api import items as repository
from tenants_api.database.engine import Database
from tenants_api.database.pagination import PageRequest
from tenants_api.errors import EtagMismatch, ValidationFailed
from tenants_api.items import Item, ItemNotFound
from tests.registry.drafts import create, purge


@dataclass(frozen=True, slots=True)
class Tenants:
    acme: uuid.UUID
    globex: uuid.UUID


@pytest.fixture
async def tenants(database: Database) -> Tenants:
    acme, globex = await create(database, "acme"), await create(database, "globex")
    return Tenants(acme.id, globex.id)


async def add(database: Database, tenant_id: uuid.UUID, title: str = "Item") -> Item:
    async with database.begin(tenant_id=tenant_id) as session:
        return await repository.create_item(
            session, tenant_id=tenant_id, title=title, body=None, created_by="subject-1"
        )


async def titles(database: Database, tenant_id: uuid.UUID, page: PageRequest | None = None) -> list[str]:
    async with database.read(tenant_id=tenant_id) as session:
        found = await repository.list_items(session, tenant_id=tenant_id, page=page or PageRequest())
    return [item.title for item in found.items]


async def test_item_comes_back_as_it_was_made(database: Database, tenants: Tenants) -> None:
    item = await add(database, tenants.acme)
    async with database.read(tenant_id=tenants.acme) as session:
        found = await repository.get_item(session, tenant_id=tenants.acme, item_id=item.id)
    assert (found.title, found.body, found.created_by, found.version) == ("Item", None, "subject-1", 1)
    assert found.created_at.tzinfo is not None


async def test_list_holds_the_tenants_own_items(database: Database, tenants: Tenants) -> None:
    await add(database, tenants.acme, "ours")
    await add(database, tenants.globex, "theirs")
    assert await titles(database, tenants.acme) == ["ours"]
    assert await titles(database, tenants.globex) == ["theirs"]


async def test_pages_lead_forward_and_back_again(database: Database, tenants: Tenants) -> None:
    for number in range(5):
        await add(database, tenants.acme, str(number))
        await add(database, tenants.globex, "foreign")
    async with database.read(tenant_id=tenants.acme) as session:
        first = await repository.list_items(session, tenant_id=tenants.acme, page=PageRequest(limit=2))
        second = await repository.list_items(
            session, tenant_id=tenants.acme, page=PageRequest(limit=2, after=first.after)
        )
        back = await repository.list_items(
            session, tenant_id=tenants.acme, page=PageRequest(limit=2, before=second.before)
        )
    seen = [item.title for item in (*first.items, *second.items)]
    assert sorted(seen) == sorted(set(seen))
    assert len(seen) == 4
    assert "foreign" not in seen
    assert [item.id for item in back.items] == [item.id for item in first.items]


async def test_cursor_of_another_tenant_shows_nothing_of_it(database: Database, tenants: Tenants) -> None:
    await add(database, tenants.globex, "theirs")
    await add(database, tenants.globex, "theirs")
    async with database.read(tenant_id=tenants.globex) as session:
        theirs = await repository.list_items(session, tenant_id=tenants.globex, page=PageRequest(limit=1))
    await add(database, tenants.acme, "ours")
    assert await titles(database, tenants.acme, PageRequest(after=theirs.after)) == ["ours"]


async def test_broken_cursor_is_refused(database: Database, tenants: Tenants) -> None:
    with pytest.raises(ValidationFailed):
        await titles(database, tenants.acme, PageRequest(after="x"))


async def test_item_of_another_tenant_is_not_found_by_any_way(database: Database, tenants: Tenants) -> None:
    foreign = await add(database, tenants.globex, "theirs")
    ours: dict[str, Any] = {"tenant_id": tenants.acme, "item_id": foreign.id}
    async with database.begin(tenant_id=tenants.acme) as session:
        with pytest.raises(ItemNotFound):
            await repository.get_item(session, **ours)
        with pytest.raises(ItemNotFound):
            await repository.update_item(session, **ours, fields={"title": "mine"}, if_match=None)
        with pytest.raises(ItemNotFound):
            await repository.delete_item(session, **ours)
    assert await titles(database, tenants.globex) == ["theirs"]


async def test_one_id_may_stand_in_two_tenants_and_means_two_items(database: Database, tenants: Tenants) -> None:
    shared = uuid.uuid4()
    for tenant_id, title in ((tenants.acme, "ours"), (tenants.globex, "theirs")):
        async with database.begin(tenant_id=tenant_id) as session:
            session.add(Item(tenant_id=tenant_id, id=shared, title=title, created_by="subject-1"))
    async with database.begin(tenant_id=tenants.acme) as session:
        await repository.delete_item(session, tenant_id=tenants.acme, item_id=shared)
    assert await titles(database, tenants.acme) == []
    assert await titles(database, tenants.globex) == ["theirs"]


async def test_update_changes_what_it_names(database: Database, tenants: Tenants) -> None:
    item = await add(database, tenants.acme)
    async with database.begin(tenant_id=tenants.acme) as session:
        changed = await repository.update_item(
            session, tenant_id=tenants.acme, item_id=item.id, fields={"body": "text"}, if_match=1
        )
    assert (changed.title, changed.body, changed.version) == ("Item", "text", 2)
    assert changed.updated_at >= item.updated_at


async def test_update_of_another_version_is_refused(database: Database, tenants: Tenants) -> None:
    item = await add(database, tenants.acme)
    with pytest.raises(EtagMismatch):
        async with database.begin(tenant_id=tenants.acme) as session:
            await repository.update_item(
                session, tenant_id=tenants.acme, item_id=item.id, fields={"title": "lost"}, if_match=2
            )
    assert await titles(database, tenants.acme) == ["Item"]


async def test_items_go_with_their_purged_tenant_and_no_others_do(database: Database, tenants: Tenants) -> None:
    await add(database, tenants.acme)
    await add(database, tenants.globex)
    await purge(database, "acme")
    assert await titles(database, tenants.acme) == []
    assert await titles(database, tenants.globex) == ["Item"]
