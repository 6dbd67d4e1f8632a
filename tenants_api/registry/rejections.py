"""Refused tokens of the tenants, counted by what they have in common; at most a hundred rows a tenant."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.db import new_id, upsert
from tenants_api.registry.models import Rejection, Tenant
from tenants_api.registry.service import get_tenant

KEPT = 100  # rows a tenant
AT_ONCE = 500  # rows in one statement


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """What refused tokens have in common. The texts are the sender's and say what he likes."""

    tenant_id: uuid.UUID
    reason: str
    kid: str = ""
    authorized_party: str = ""
    audience: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        told = [self.reason, self.kid, self.authorized_party, self.audience]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


async def add_rejections(session: AsyncSession, counts: Mapping[Refused, int], *, now: datetime) -> None:
    """Add the counts to those that are kept, and let go of the oldest beyond a tenant's hundred.

    What concerns a tenant that is gone meanwhile is dropped.
    """
    # In one order for all writers: two replicas that wait for each other's rows would never end.
    tenants = sorted({refused.tenant_id for refused in counts})
    known = set(await session.scalars(select(Tenant.id).where(Tenant.id.in_(tenants))))
    rows = [_row(refused, counts[refused], now=now) for refused in sorted(counts) if refused.tenant_id in known]
    for some in (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)):
        adding = upsert(session, Rejection).values(some)
        more = {"count": Rejection.count + adding.excluded.count, "last_at": adding.excluded.last_at}
        await session.execute(adding.on_conflict_do_update(index_elements=["tenant_id", "digest"], set_=more))
    for tenant_id in tenants:
        if tenant_id in known:
            await _forget_oldest(session, tenant_id=tenant_id)


async def list_rejections(session: AsyncSession, *, ref: str) -> list[Rejection]:
    """What is kept of a tenant, the latest first. Raises TenantNotFound."""
    tenant = await get_tenant(session, ref=ref)
    mine = select(Rejection).where(Rejection.tenant_id == tenant.id)
    return list(await session.scalars(mine.order_by(Rejection.last_at.desc(), Rejection.id.desc()).limit(KEPT)))


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


async def _forget_oldest(session: AsyncSession, *, tenant_id: uuid.UUID) -> None:
    mine = select(Rejection.id).where(Rejection.tenant_id == tenant_id)
    surplus = mine.order_by(Rejection.last_at.desc(), Rejection.id.desc()).offset(KEPT)
    await session.execute(delete(Rejection).where(Rejection.id.in_(surplus)))
