"""Refused tokens of a tenant: counted, bounded, and written by several replicas at once."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tenants_api.db import Database
from tenants_api.registry.models import Rejection
from tenants_api.registry.rejections import add_rejections, list_rejections
from tenants_api.registry.values import KEPT_REJECTIONS, Refused
from tests.registry.drafts import create, purge

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def add(database: Database, *refused: Refused, now: datetime = NOON) -> None:
    async with database.begin() as session:
        await add_rejections(session, dict.fromkeys(refused, 1), now=now)


async def listed(database: Database, ref: str = "acme") -> list[Rejection]:
    async with database.read() as session:
        return await list_rejections(session, ref=ref)


async def test_same_refusal_again_is_counted_and_keeps_its_first_time(database: Database) -> None:
    tenant = await create(database, "acme")
    alike = Refused(tenant.id, "wrong_audience", "k1", "web", ("account",))
    await add(database, alike)
    await add(database, alike, Refused(tenant.id, "wrong_audience", "k2"), now=NOON + timedelta(hours=1))
    rows = {row.kid: row for row in await listed(database)}
    assert {kid: row.count for kid, row in rows.items()} == {"k1": 2, "k2": 1}
    assert (rows["k1"].first_at, rows["k1"].last_at) == (NOON, NOON + timedelta(hours=1))
    assert rows["k1"].audience == ["account"]


async def test_hundred_are_kept_and_the_oldest_let_go(database: Database) -> None:
    acme, globex = await create(database, "acme"), await create(database, "globex")
    await add(database, Refused(acme.id, "token_expired"), Refused(globex.id, "token_expired"))
    many = [Refused(acme.id, "unknown_key", f"kid-{number}") for number in range(KEPT_REJECTIONS)]
    await add(database, *many, now=NOON + timedelta(seconds=1))
    assert {row.reason for row in await listed(database)} == {"unknown_key"}
    assert len(await listed(database)) == KEPT_REJECTIONS
    assert len(await listed(database, "globex")) == 1


async def test_replicas_that_write_the_same_rows_at_once_lose_no_count(database: Database) -> None:
    tenants = [await create(database, f"t{number}") for number in range(5)]
    some = [Refused(tenant.id, "bad_signature", f"k{number}") for tenant in tenants for number in range(5)]
    await asyncio.gather(*(add(database, *(some if number % 2 else some[::-1])) for number in range(6)))
    for tenant in tenants:
        assert [row.count for row in await listed(database, tenant.slug)] == [6] * 5


async def test_tenant_that_is_gone_meanwhile_takes_no_other_with_it(database: Database) -> None:
    gone, acme = await create(database, "gone"), await create(database, "acme")
    await add(database, Refused(gone.id, "token_expired"))
    await purge(database, "gone")
    await add(
        database, Refused(gone.id, "token_expired"), Refused(uuid.uuid4(), "x"), Refused(acme.id, "token_expired")
    )
    assert [row.reason for row in await listed(database)] == ["token_expired"]
