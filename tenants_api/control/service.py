"""Changes of tenants and realms, with audit entry and registry version. The caller commits."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.control.recording import EVENTS, record_change
from tenants_api.errors import EtagMismatch
from tenants_api.registry import audit, repository
from tenants_api.registry.changes import bump_version, mark_purged
from tenants_api.registry.conditions import forget_learned
from tenants_api.registry.errors import InvalidStateTransition
from tenants_api.registry.keys import forget_keys
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.repository import (
    fill_realm,
    in_issuer_order,
    new_realm,
    realm_fields,
    rule_rows,
    rules_of,
    tenant_fields,
)
from tenants_api.registry.values import (
    TRANSITIONS,
    Change,
    Health,
    RealmDraft,
    TenantDraft,
    TenantState,
    Transition,
)
from tenants_api.role_rules import RoleRule


async def update_tenant(
    session: AsyncSession, *, ref: str, fields: Mapping[str, Any], if_match: int | None, change: Change
) -> Tenant:
    """Change some of `name`, `external_id`, `metadata`, `resource_metadata` and `role_mapping`.

    Raises:
        TenantNotFound, EtagMismatch, ExternalIdTaken
    """
    tenant = await _locked(session, ref=ref, if_match=if_match)
    before = tenant_fields(tenant)
    if "role_mapping" in fields:
        await _replace_rules(session, tenant=tenant, rules=fields["role_mapping"])
    async with repository.unique(session, tenant=tenant, realms=[]):
        for name in ("name", "external_id", "resource_metadata"):
            if name in fields:
                setattr(tenant, name, fields[name])
        if "metadata" in fields:
            tenant.metadata_ = dict(fields["metadata"] or {})
    if tenant_fields(tenant) == before:  # no change, no new version
        return tenant
    return await _after_change(session, tenant=tenant, action="tenant.updated", change=change, before=before)


async def replace_tenant(
    session: AsyncSession, *, ref: str, draft: TenantDraft, if_match: int | None, change: Change
) -> Tenant:
    """Replace the tenant by the draft; realms are matched by issuer and organization and keep their ids.

    Raises:
        TenantNotFound, EtagMismatch, SlugTaken, ExternalIdTaken, IssuerTaken
    """
    tenant = await _locked(session, ref=ref, if_match=if_match)
    before = tenant_fields(tenant)
    await _replace_rules(session, tenant=tenant, rules=draft.role_mapping)
    present = {(realm.issuer, realm.organization): realm for realm in tenant.realms}
    desired = {(one.issuer, one.organization or ""): one for one in draft.realms}
    async with repository.unique(session, tenant=tenant, realms=[new_realm(one) for one in draft.realms]):
        tenant.slug, tenant.name, tenant.external_id = draft.slug, draft.name, draft.external_id
        tenant.metadata_, tenant.resource_metadata = dict(draft.metadata), draft.resource_metadata
        for key, realm in present.items():
            if key not in desired:
                tenant.realms.remove(realm)
        tenant.realms.extend(in_issuer_order(new_realm(one) for key, one in desired.items() if key not in present))
        for key, one in desired.items():
            if key in present and realm_fields(present[key]) != realm_fields(new_realm(one)):
                await _refill(session, realm=present[key], draft=one)
    if tenant_fields(tenant) == before:
        return tenant
    return await _after_change(session, tenant=tenant, action="tenant.replaced", change=change, before=before)


async def move(
    session: AsyncSession, *, ref: str, transition: Transition, if_match: int | None = None, change: Change
) -> Tenant:
    """Change the state of a tenant.

    Raises:
        TenantNotFound, EtagMismatch, InvalidStateTransition
    """
    tenant = await _locked(session, ref=ref, if_match=if_match)
    before = tenant_fields(tenant)
    allowed = TRANSITIONS[TenantState(tenant.state)]
    if transition not in allowed:
        raise InvalidStateTransition(tenant.state, wanted=transition, allowed=_allowed(tenant))
    tenant.state = allowed[transition]
    return await _after_change(session, tenant=tenant, action=EVENTS[transition], change=change, before=before)


async def purge_tenant(session: AsyncSession, *, ref: str, change: Change) -> None:
    """Remove a deleted tenant for good; its slug and issuers are free again.

    Raises:
        TenantNotFound, InvalidStateTransition
    """
    tenant = await _locked(session, ref=ref, if_match=None)
    if tenant.state != TenantState.DELETED:
        raise InvalidStateTransition(tenant.state, wanted="purge", allowed=_allowed(tenant))
    await audit.record(
        session, action="tenant.purged", target_type="tenant", target_id=str(tenant.id), change=change,
        before=tenant_fields(tenant),
    )  # fmt: skip
    await session.delete(tenant)
    await session.flush()
    await mark_purged(session, tenant_id=tenant.id, version=await bump_version(session, tenant_id=tenant.id))


async def add_realm(session: AsyncSession, *, ref: str, draft: RealmDraft, change: Change) -> Realm:
    """Add a realm to a tenant. Raises TenantNotFound, IssuerTaken."""
    tenant = await _locked(session, ref=ref, if_match=None)
    realm = new_realm(draft)
    async with repository.unique(session, tenant=tenant, realms=[realm]):
        tenant.realms.append(realm)
    await record_change(
        session, tenant=tenant, action="realm.added", change=change, after=realm_fields(realm), realm=realm
    )
    return await repository.get_realm(session, tenant_id=tenant.id, realm_id=realm.id)


async def get_realm(session: AsyncSession, *, ref: str, realm_id: uuid.UUID) -> Realm:
    """A realm of this tenant. Raises TenantNotFound, RealmNotFound."""
    tenant = await repository.get_tenant(session, ref=ref)
    return await repository.get_realm(session, tenant_id=tenant.id, realm_id=realm_id)


async def update_realm(
    session: AsyncSession,
    *,
    ref: str,
    realm_id: uuid.UUID,
    draft: RealmDraft,
    if_match: int | None,
    change: Change,
) -> Realm:
    """Replace a realm's description.

    Raises:
        TenantNotFound, RealmNotFound, EtagMismatch, IssuerTaken
    """
    tenant = await _locked(session, ref=ref, if_match=None)
    realm = await repository.get_realm(session, tenant_id=tenant.id, realm_id=realm_id)
    _match(realm, if_match=if_match)
    before = realm_fields(realm)
    async with repository.unique(session, tenant=tenant, realms=[new_realm(draft)]):
        await _refill(session, realm=realm, draft=draft)
    after = realm_fields(realm)
    await record_change(
        session, tenant=tenant, action="realm.updated", change=change, before=before, after=after, realm=realm
    )
    return await repository.get_realm(session, tenant_id=tenant.id, realm_id=realm_id)


async def remove_realm(
    session: AsyncSession, *, ref: str, realm_id: uuid.UUID, if_match: int | None, change: Change
) -> None:
    """Remove a realm; its tokens are refused from then on. Raises as `update_realm`."""
    tenant = await _locked(session, ref=ref, if_match=None)
    realm = await repository.get_realm(session, tenant_id=tenant.id, realm_id=realm_id)
    _match(realm, if_match=if_match)
    before = realm_fields(realm)
    tenant.realms.remove(realm)
    await session.flush()
    await record_change(session, tenant=tenant, action="realm.removed", change=change, before=before, realm=realm)


async def _refill(session: AsyncSession, *, realm: Realm, draft: RealmDraft) -> None:
    """Replace the realm's description; conditions and keys of another issuer or URL are deleted."""
    origin, audience = (realm.issuer, realm.realm_url), (realm.client_id, realm.audiences)
    fill_realm(realm, draft=draft)
    realm.version += 1
    realm.checked_at = None
    if (realm.client_id, realm.audiences) != audience:
        forget_learned(realm, "AudienceConfigured", "RolesMapped")
    if (realm.issuer, realm.realm_url) != origin:
        realm.health = Health.UNKNOWN
        realm.conditions.clear()
        with session.no_autoflush:  # `repository.unique` flushes, and names an issuer in conflict
            await forget_keys(session, realm_id=realm.id)


async def _locked(session: AsyncSession, *, ref: str, if_match: int | None) -> Tenant:
    tenant = await repository.get_tenant(session, ref=ref, for_update=True)
    _match(tenant, if_match=if_match)
    return tenant


def _match(row: Tenant | Realm, *, if_match: int | None) -> None:
    if if_match is not None and row.version != if_match:
        raise EtagMismatch(f"If-Match names version {if_match}, the stored one is {row.version}")


async def _after_change(
    session: AsyncSession, *, tenant: Tenant, action: str, change: Change, before: Mapping[str, Any]
) -> Tenant:
    await session.flush()
    await record_change(
        session, tenant=tenant, action=action, change=change, before=before, after=tenant_fields(tenant)
    )
    return await repository.get_tenant(session, ref=str(tenant.id))


async def _replace_rules(session: AsyncSession, *, tenant: Tenant, rules: Sequence[RoleRule]) -> None:
    if rules_of(tenant) == tuple(rules):
        return
    tenant.role_rules.clear()
    await session.flush()  # the old positions are deleted before the new ones are inserted
    tenant.role_rules.extend(rule_rows(rules))
    for realm in tenant.realms:
        forget_learned(realm, "RolesMapped")


def _allowed(tenant: Tenant) -> list[str]:
    state = TenantState(tenant.state)
    return [*TRANSITIONS[state], *(["purge"] if state == TenantState.DELETED else [])]
