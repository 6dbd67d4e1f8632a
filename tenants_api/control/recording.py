"""Create a tenant, and record a change of one: version, audit entry, `updated_at`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import utc_now
from tenants_api.registry import audit, repository
from tenants_api.registry.changes import bump_version, mark_organization_issuers
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.repository import in_issuer_order, new_realm, rule_rows, tenant_fields
from tenants_api.registry.values import TRANSITIONS, Change, TenantDraft, TenantState, Transition

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
    """Record a flushed change in registry version and audit log; a `new` tenant keeps its first version."""
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


async def create(
    session: AsyncSession, *, draft: TenantDraft, change: Change, transitions: Sequence[Transition] = ()
) -> Tenant:
    """Create a tenant in state `draft`, or in the one that `transitions` lead to; the audit log has every step.

    Members that the database sets are not read back, so that an import makes no query for them.

    Raises:
        SlugTaken, ExternalIdTaken, IssuerTaken
        KeyError: a transition is not allowed from the state before it.
    """
    states = [TenantState.DRAFT]
    for transition in transitions:
        states.append(TRANSITIONS[states[-1]][transition])
    tenant = Tenant(
        slug=draft.slug,
        name=draft.name,
        external_id=draft.external_id,
        state=states[-1],
        metadata_=dict(draft.metadata),
        resource_metadata=draft.resource_metadata,
        realms=in_issuer_order(new_realm(realm) for realm in draft.realms),
        role_rules=rule_rows(draft.role_mapping),
    )
    async with repository.unique(session, tenant=tenant, realms=tenant.realms):
        session.add(tenant)
    facts = [tenant_fields(tenant) | {"state": str(state)} for state in states]
    await record_change(session, tenant=tenant, action="tenant.created", change=change, after=facts[0], new=True)
    for transition, before, after in zip(transitions, facts, facts[1:], strict=False):
        await audit.record(
            session, action=EVENTS[transition], target_type="tenant", target_id=str(tenant.id), change=change,
            before=before, after=after,
        )  # fmt: skip
    return tenant
