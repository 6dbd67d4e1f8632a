"""PostgreSQL guards items itself: what a query that forgets its filter can and cannot do.

The role is that of the application. One pooled connection serves all tenants in turn, so what one leaves behind the
next one would meet.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tenants_api import items as repository
from tenants_api.database.engine import Database, TenantNeedsTransaction, bind_tenant
from tenants_api.ids import new_id
from tenants_api.items import Item
from tenants_api.registry.models import Tenant
from tests.registry.drafts import create
from tests.support.databases import postgres_copy

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]

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


async def test_tenant_is_set_again_after_an_error_in_the_middle(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pooled.sessions() as session:
        bind_tenant(session, tenant_id=two[0])
        with pytest.raises(ProgrammingError):
            await session.execute(text("select * from nothing"))
        await session.rollback()
        assert await seen(session) == ["ours"]
    async with pooled.read() as session:
        assert await seen(session) == []


async def test_connection_of_a_cancelled_task_carries_no_tenant_to_the_next(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async def work(started: asyncio.Event) -> None:
        async with pooled.read(tenant_id=two[0]) as session:
            assert await seen(session) == ["ours"]
            started.set()
            await session.execute(text("select pg_sleep(60)"))

    started = asyncio.Event()
    task = asyncio.create_task(work(started))
    await started.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    async with pooled.read() as session:
        assert await seen(session) == []
    async with pooled.read(tenant_id=two[1]) as session:
        assert await seen(session) == ["theirs"]


async def test_statement_that_takes_too_long_is_ended_and_its_connection_carries_no_tenant(
    request: pytest.FixtureRequest,
) -> None:
    database = Database(postgres_copy(request), pool_size=1, statement_timeout=2)
    acme, globex = (await create(database, "acme")).id, (await create(database, "globex")).id
    with pytest.raises(OperationalError, match="statement timeout"):
        await write_too_slowly(database, acme)
    async with database.read(tenant_id=globex) as session:
        assert await seen(session) == []
    async with database.read(tenant_id=acme) as session:
        assert await seen(session) == [], "the half that ran is not there either"
    await database.aclose()


async def write_too_slowly(database: Database, tenant_id: uuid.UUID) -> None:
    async with database.begin(tenant_id=tenant_id) as session:
        await repository.create_item(session, tenant_id=tenant_id, title="half", body=None, created_by="s")
        await session.execute(text("select pg_sleep(60)"))


async def test_background_task_of_its_own_session_sees_its_tenant_alone(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async def later(tenant_id: uuid.UUID) -> list[str]:
        async with pooled.read(tenant_id=tenant_id) as session:
            return await seen(session)

    async with pooled.read(tenant_id=two[0]) as session:
        task = asyncio.create_task(later(two[1]))  # it inherits this task's context, and nothing of the session
        assert await seen(session) == ["ours"]
    assert await task == ["theirs"]


async def test_tenants_session_refuses_an_autocommit_connection(
    pooled: Database, two: tuple[uuid.UUID, uuid.UUID]
) -> None:
    """There the tenant would be forgotten before the first query: rows would vanish without a word."""
    autocommit = async_sessionmaker(pooled.engine.execution_options(isolation_level="AUTOCOMMIT"))
    async with autocommit() as session:
        bind_tenant(session, tenant_id=two[0])
        with pytest.raises(TenantNeedsTransaction):
            await seen(session)
    async with autocommit() as session:
        assert await seen(session) == []


async def test_200_tenants_at_once_on_a_small_pool_get_their_own_rows_alone(request: pytest.FixtureRequest) -> None:
    database = Database(postgres_copy(request), pool_size=8)
    tenants = await add_tenants(database, count=200)
    answers = 0

    async def read(tenant_id: uuid.UUID) -> None:
        nonlocal answers
        for _ in range(100):
            async with slots, database.read(tenant_id=tenant_id) as session:
                assert await seen(session) == [str(tenant_id)]
            answers += 1

    slots = asyncio.Semaphore(8)  # whoever waits for a connection longer than the pool's patience fails
    await asyncio.gather(*(read(tenant_id) for tenant_id in tenants))
    assert answers == 100 * len(tenants)
    await database.aclose()


async def add_tenants(database: Database, *, count: int) -> list[uuid.UUID]:
    """Tenants with one item each, titled with the tenant's id."""
    ids = [new_id() for _ in range(count)]
    async with database.begin() as session:
        session.add_all(Tenant(id=one, slug=f"t-{one.hex}", name="T", state="active") for one in ids)
    for one in ids:
        async with database.begin(tenant_id=one) as session:
            session.add(Item(tenant_id=one, title=str(one), created_by="s"))
    return ids
