"""How a tenant comes into the registry."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.registry import audit, repository
from tenants_api.registry.models import Tenant
from tenants_api.registry.recording import EVENTS, record_change
from tenants_api.registry.rows import in_one_order, new_realm, rule_rows, tenant_facts
from tenants_api.registry.values import TRANSITIONS, Change, TenantDraft, TenantState, Transition


async def create(
    session: AsyncSession, *, draft: TenantDraft, change: Change, transitions: Sequence[Transition] = ()
) -> Tenant:
    """A new tenant in state `draft`, or where these transitions lead; the trail has every step.

    For one who creates many nothing is read back: what the database fills in is not there.

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
        realms=in_one_order(new_realm(realm) for realm in draft.realms),
        role_rules=rule_rows(draft.role_mapping),
    )
    async with repository.unique(session, tenant=tenant, realms=tenant.realms):
        session.add(tenant)
    facts = [tenant_facts(tenant) | {"state": str(state)} for state in states]
    await record_change(session, tenant=tenant, action="tenant.created", change=change, after=facts[0], new=True)
    for transition, before, after in zip(transitions, facts, facts[1:], strict=False):
        await audit.record(
            session, action=EVENTS[transition], target_type="tenant", target_id=str(tenant.id), change=change,
            before=before, after=after,
        )  # fmt: skip
    return tenant
