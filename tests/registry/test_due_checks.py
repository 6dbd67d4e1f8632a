"""Which realms are checked next, and by whom."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tenants_api.database.engine import Database
from tenants_api.registry.conditions import claim_due, set_health
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health, Transition
from tests.registry.drafts import create, move

HOUR = timedelta(hours=1)


async def active(database: Database, slug: str) -> Tenant:
    await create(database, slug)
    return await move(database, slug, Transition.ACTIVATE)


async def test_replicas_share_the_work(database: Database) -> None:
    """Each due realm goes to one of those that ask at the same time."""
    now = datetime.now(UTC)
    ids = [(await active(database, f"t{number}")).realms[0].id for number in range(8)]

    async def claim() -> list[Any]:
        async with database.begin() as session:
            return [realm.id for realm in await claim_due(session, since=now - HOUR, now=now, limit=20)]

    claimed = [realm_id for some in await asyncio.gather(*(claim() for _ in range(4))) for realm_id in some]
    assert sorted(claimed) == sorted(ids)


async def test_realm_whose_health_changed_is_due_at_once(database: Database) -> None:
    now = datetime.now(UTC)
    realm = (await active(database, "acme")).realms[0]
    async with database.begin() as session:
        assert [one.id for one in await claim_due(session, since=now - HOUR, now=now, limit=20)] == [realm.id]
        assert await claim_due(session, since=now - HOUR, now=now, limit=20) == []
    async with database.begin() as session:
        await set_health(
            session, realm_id=realm.id, issuer=realm.issuer, realm_url=realm.realm_url, health=Health.DEGRADED,
            reason="Unreachable",
        )  # fmt: skip
    async with database.begin() as session:
        assert [one.id for one in await claim_due(session, since=now - HOUR, now=now, limit=20)] == [realm.id]
