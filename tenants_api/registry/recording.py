"""What every change of a tenant does besides: a new version for its row and for the registry, a line in the trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.db import utc_now
from tenants_api.registry import audit
from tenants_api.registry.changes import bump_version, mark_organization_issuers
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import Change, Transition

EVENTS = {
    Transition.ACTIVATE: "tenant.activated",
    Transition.SUSPEND: "tenant.suspended",
    Transition.RESUME: "tenant.resumed",
    Transition.DELETE: "tenant.deleted",
    Transition.RESTORE: "tenant.restored",
}


async def record_change(
    session: AsyncSession,
    *,
    tenant: Tenant,
    action: str,
    change: Change,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    realm: Realm | None = None,
    new: bool = False,
) -> None:
    """Count and write down a change that was flushed; a `new` row keeps the version that it was made with."""
    tenant.changed_version = await bump_version(session, tenant_id=tenant.id)
    organizations = {one.issuer for one in tenant.realms if one.organization}
    if organizations:
        await mark_organization_issuers(session, organizations, version=tenant.changed_version)
    tenant.updated_at = utc_now()
    tenant.version += 0 if new else 1
    await session.flush()
    target = ("realm", realm.id) if realm is not None else ("tenant", tenant.id)
    await audit.record(
        session,
        action=action,
        target_type=target[0],
        target_id=str(target[1]),
        change=change,
        before=before,
        after=after,
    )
