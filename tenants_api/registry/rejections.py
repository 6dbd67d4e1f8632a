"""The statements of rejections: counts of refused tokens with equal values, at most a hundred rows a tenant."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import upsert
from tenants_api.ids import new_id
from tenants_api.registry.models import Rejection, Tenant
from tenants_api.registry.repository import get_tenant
from tenants_api.registry.values import MAX_REJECTIONS_PER_TENANT, Refused

ROWS_PER_STATEMENT = 500


async def add_rejections(session: AsyncSession, counts: Mapping[Refused, int], *, now: datetime) -> None:
    """Add the counts to the stored ones, and delete a tenant's oldest beyond a hundred; unknown tenants are ignored."""
    # In one order for all writers, which avoids deadlocks.
    tenants = sorted({refused.tenant_id for refused in counts})
    known = set(await session.scalars(select(Tenant.id).where(Tenant.id.in_(tenants))))
    rows = [_row(refused, counts[refused], now=now) for refused in sorted(counts) if refused.tenant_id in known]
    for some in (rows[start : start + ROWS_PER_STATEMENT] for start in range(0, len(rows), ROWS_PER_STATEMENT)):
        adding = upsert(session, Rejection).values(some)
        more = {"count": Rejection.count + adding.excluded.count, "last_at": adding.excluded.last_at}
        await session.execute(adding.on_conflict_do_update(index_elements=["tenant_id", "digest"], set_=more))
    for tenant_id in tenants:
        if tenant_id in known:
            await _delete_oldest(session, tenant_id=tenant_id)


async def list_rejections(session: AsyncSession, *, ref: str) -> list[Rejection]:
    """The rejections of a tenant, the latest first. Raises TenantNotFound."""
    tenant = await get_tenant(session, ref=ref)
    mine = select(Rejection).where(Rejection.tenant_id == tenant.id)
    return list(
        await session.scalars(
            mine.order_by(Rejection.last_at.desc(), Rejection.id.desc()).limit(MAX_REJECTIONS_PER_TENANT)
        )
    )


def _row(refused: Refused, count: int, *, now: datetime) -> dict[str, object]:
    return {
        "id": new_id(),
        "tenant_id": refused.tenant_id,
        "digest": refused.digest,
        "reason": refused.reason,
        "kid": refused.kid or None,
        "authorized_party": refused.authorized_party or None,
        "audience": list(refused.audience),
        "count": count,
        "first_at": now,
        "last_at": now,
    }


async def _delete_oldest(session: AsyncSession, *, tenant_id: uuid.UUID) -> None:
    mine = select(Rejection.id).where(Rejection.tenant_id == tenant_id)
    surplus = mine.order_by(Rejection.last_at.desc(), Rejection.id.desc()).offset(MAX_REJECTIONS_PER_TENANT)
    await session.execute(delete(Rejection).where(Rejection.id.in_(surplus)))
