"""Which row is locked first: the tenant's, then the registry version's. One order everywhere, so nobody deadlocks."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry.models import Realm, Tenant


async def lock_tenant_of(session: AsyncSession, *, realm_id: uuid.UUID) -> uuid.UUID | None:
    """Hold the row of the tenant that owns this realm until the transaction ends; its id, None if the realm is gone.

    `key_share` (PostgreSQL: FOR NO KEY UPDATE) lets rows that only refer to the tenant, such as items, be written.
    """
    query = select(Tenant.id).join(Realm, Realm.tenant_id == Tenant.id).where(Realm.id == realm_id)
    found: uuid.UUID | None = await session.scalar(query.with_for_update(of=Tenant, key_share=True))
    return found
