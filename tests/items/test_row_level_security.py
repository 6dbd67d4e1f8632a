"""PostgreSQL guards items itself: what a query that forgets its filter can and cannot do.

The role is that of the application. One pooled connection serves all tenants in turn, so what one leaves behind the
next one would meet.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.db import Base, Database, new_id
from tenants_api.items import repository
from tenants_api.items.models import Item
from tenants_api.registry import models as registry_models
from tests.registry.drafts import create
from tests.support.databases import postgres_copy

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.xdist_group("postgres")]

ALL = text("select title from items order by title")


@pytest.fixture
async def pooled(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A pool of one connection."""
    database = Database(postgres_copy(request), pool_size=1)
    yield database
    await database.aclose()


@pytest.fixture
async def two(pooled: Database) -> tuple[uuid.UUID, uuid.UUID]:
    """Two tenants with an item each."""
    acme, globex = (await create(pooled, "acme")).id, (await create(pooled, "globex")).id
    for tenant_id, title in ((acme, "ours"), (globex, "theirs")):
        async with pooled.begin(tenant_id=tenant_id) as session:
            await repository.create_item(session, tenant_id=tenant_id, title=title, body=None, created_by="s")
    return acme, globex


async def seen(session: AsyncSession) -> list[str]:
    return list(await session.scalars(ALL))


async def test_query_without_a_filter_sees_the_tenants_own_rows_alone(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    for tenant_id, expected in zip(two, ("ours", "theirs"), strict=True):
        async with pooled.read(tenant_id=tenant_id) as session:
            assert await seen(session) == [expected]


async def test_session_without_a_tenant_sees_nothing_also_on_a_connection_that_had_one(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pooled.read() as session:
        assert await seen(session) == []
    async with pooled.read(tenant_id=two[0]) as session:
        assert await seen(session) == ["ours"]
    async with pooled.read() as session:
        assert await seen(session) == []
        assert await session.scalar(text("select current_setting('app.tenant_id', true)")) in (None, "")


async def test_tenant_is_set_again_after_a_commit_in_the_middle(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pooled.sessions() as session:
        session.sync_session.info["tenant_id"] = two[0]
        assert await seen(session) == ["ours"]
        await session.commit()
        assert await seen(session) == ["ours"]


async def test_rows_of_another_tenant_cannot_be_inserted(pooled: Database, two: tuple[uuid.UUID, uuid.UUID]) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with pooled.begin(tenant_id=two[0]) as session:
            session.add(Item(tenant_id=two[1], title="planted", created_by="s"))
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with pooled.begin() as session:
            session.add(Item(tenant_id=two[1], title="planted", created_by="s"))


async def test_row_cannot_be_given_to_another_tenant(pooled: Database, two: tuple[uuid.UUID, uuid.UUID]) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with pooled.begin(tenant_id=two[0]) as session:
            await session.execute(text("update items set tenant_id = :other"), {"other": two[1]})


async def test_change_without_a_filter_reaches_no_foreign_row(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pooled.begin(tenant_id=two[0]) as session:
        await session.execute(text("update items set title = 'changed'"))
        await session.execute(text("delete from items"))
    async with pooled.read(tenant_id=two[1]) as session:
        assert await seen(session) == ["theirs"]


async def test_tenant_that_does_not_exist_sees_nothing(pooled: Database, two: tuple[uuid.UUID, uuid.UUID]) -> None:
    async with pooled.read(tenant_id=new_id()) as session:
        assert await seen(session) == []


@pytest.mark.parametrize("statement", ["alter table items disable row level security", "truncate items"])
async def test_application_cannot_take_the_wall_down(pooled: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError):
        async with pooled.begin() as session:
            await session.execute(text(statement))


async def test_every_table_of_tenant_data_is_guarded(pooled: Database) -> None:
    """Alembic does not see a missing policy. The registry's own tables are read before a tenant is known."""
    tables = sorted(
        name
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ != registry_models.__name__
        for name, table in Base.metadata.tables.items()
        if table is mapper.local_table and "tenant_id" in table.columns
    )
    assert tables == ["items"]
    query = text(
        "select c.relname, c.relrowsecurity, c.relforcerowsecurity, p.polqual is not null, p.polwithcheck is not null"
        " from pg_class c left join pg_policy p on p.polrelid = c.oid where c.relname = any(:tables)"
    )
    async with pooled.read() as session:
        rows = (await session.execute(query, {"tables": tables})).all()
    assert [tuple(row) for row in rows] == [(name, True, True, True, True) for name in tables]
