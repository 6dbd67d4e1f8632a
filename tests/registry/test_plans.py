"""How PostgreSQL finds rows among many: by an index wherever a request, a page or the change feed asks."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import Database
from tenants_api.database.pagination import PageRequest
from tenants_api.registry import repository
from tenants_api.registry.changes import changed_since
from tenants_api.registry.values import TenantFilter
from tests.support.databases import postgres_copy
from tests.support.postgres import APP, OWNER

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]

TENANTS = 20_000
FILL = """
insert into tenants (id, slug, name, external_id, state, metadata, version, changed_version, created_at, updated_at)
select lpad(to_hex(n), 32, '0')::uuid, 'tenant-' || n, 'T', 'crm-' || n, 'active', '{}', 1, n, now(), now()
from generate_series(1, :count) n;
insert into realms (id, tenant_id, issuer, organization, realm_url, client_id, audiences, authorized_parties,
                    algorithms, not_before, enabled, health, version, created_at, updated_at)
select lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'https://login.example.com/realms/' || n, '',
       'https://login.example.com/realms/' || n, 'api', '[]', '[]', '["RS256"]', 0, true, 'healthy', 1, now(), now()
from generate_series(1, :count) n;
update registry_version set version = :count;
"""


@pytest.fixture
async def many(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Twenty thousand tenants with a realm each."""
    database = Database(postgres_copy(request).replace(f"{APP}@", f"{OWNER}@"), pool_size=2)  # who may analyze
    async with database.begin() as session:
        for statement in FILL.strip().split(";")[:-1]:
            await session.execute(text(statement), {"count": TENANTS})
        await session.execute(text("analyze"))
    yield database
    await database.aclose()


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the database inside the block."""
    sent: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "FROM" in statement:  # not those that only set the connection up
            sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def plans(session: AsyncSession, sent: list[tuple[str, Any]]) -> list[str]:
    connection = await session.connection()
    return [
        "\n".join(row[0] for row in await connection.exec_driver_sql(f"explain {statement}", parameters))
        for statement, parameters in sent
    ]


async def page(session: AsyncSession, **where: Any) -> None:
    after = where.pop("after", None)
    found = await repository.list_tenants(
        session, where=TenantFilter(**where), page=PageRequest(limit=100, after=after)
    )
    assert found.items


ASKED = {
    "first page": lambda session: page(session),
    "page in the middle": lambda session: page(session, after="AAAAAAAAAAAAAAAAAAAnEA"),
    "by issuer": lambda session: page(session, issuer="https://login.example.com/realms/777"),
    "by external id": lambda session: page(session, external_id="crm-777"),
    "by slug": lambda session: repository.get_tenant(session, ref="tenant-777"),
    "by id": lambda session: repository.get_tenant(session, ref=str(uuid.UUID(int=777))),
    "what changed": lambda session: changed_since(session, version=TENANTS - 1),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_rows_are_found_by_an_index(many: Database, asked: str) -> None:
    with statements(many) as sent:
        async with many.read() as session:
            await ASKED[asked](session)
    assert sent
    async with many.read() as session:
        found = await plans(session, sent)
    for plan in found:
        assert "Seq Scan on tenants" not in plan, plan
        assert "Seq Scan on realms" not in plan, plan
    assert any("Index" in plan for plan in found)
