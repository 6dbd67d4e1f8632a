"""PUT of a whole tenant: create it, or make the present one what the body says, and go on with its onboarding."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.api.admin.changing import changing
from tenants_api.api.admin.fields import is_id
from tenants_api.api.admin.wire import TenantIn, TenantPut, to_tenant_draft
from tenants_api.errors import EtagMismatch, FieldError, ValidationFailed
from tenants_api.registry import repository, service
from tenants_api.registry.errors import InvalidStateTransition, TenantNotFound
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Change, TenantDraft, TenantState, Transition
from tenants_api.wiring import Services


@dataclass(frozen=True, slots=True)
class Condition:
    """What the caller takes for granted: the version (If-Match), or that there is none yet (If-None-Match: *)."""

    if_match: int | None
    create_only: bool


async def put(
    ref: str, *, body: TenantPut, condition: Condition, services: Services, change: Change
) -> tuple[Tenant, bool]:
    """Create or replace; the second value tells whether the tenant is new.

    Raises:
        TenantNotFound: the path names an id, and there is none: ids are not for callers to choose.
        EtagMismatch: the condition does not hold.
        InvalidStateTransition: the tenant is deleted; restore or purge it first.
        ValidationFailed, SlugTaken, ExternalIdTaken, IssuerTaken, RealmNotReady
    """
    async with services.database.read() as session:
        present = await repository.find_tenant(session, ref=ref)
    if present is None:
        return await _create(ref, body=body, condition=condition, services=services, change=change), True
    if condition.create_only:
        raise EtagMismatch("If-None-Match forbids to change the tenant, and there is one")
    draft = tenant_draft(body, slug=_slug(ref, body=body, present=present.slug), services=services)
    if present.state == TenantState.DRAFT and body.activate == "now":
        ready = services.onboarding.replace_now(str(present.id), draft, if_match=condition.if_match, change=change)
        return await ready, False
    async with changing(services) as session:
        before = _realms(await _living(session, ref=str(present.id)))
        row = await service.replace_tenant(
            session, ref=str(present.id), draft=draft, if_match=condition.if_match, change=change
        )
    if row.state != TenantState.DRAFT and _realms(row) == before:
        return row, False
    wanted = row.state == TenantState.DRAFT and body.activate != "never"
    return await services.onboarding.check_after(row, change=change, activate=wanted), False


def tenant_draft(body: TenantIn, *, slug: str, services: Services) -> TenantDraft:
    """The tenant that the body describes. Raises ValidationFailed, IssuerTaken (the platform realm)."""
    draft = to_tenant_draft(body, slug=slug, policy=services.policy, roles=services.roles.names)
    services.onboarding.refuse_reserved(draft.realms)
    return draft


async def _create(ref: str, *, body: TenantPut, condition: Condition, services: Services, change: Change) -> Tenant:
    if is_id(ref):
        raise TenantNotFound
    if condition.if_match is not None:
        raise EtagMismatch("If-Match names a version, but there is no such tenant")
    draft = tenant_draft(body, slug=_slug(ref, body=body, present=ref), services=services)
    return await services.onboarding.onboard(draft, activate=body.activate, change=change)


def _slug(ref: str, *, body: TenantPut, present: str) -> str:
    slug = body.slug or present
    if slug != ref and not is_id(ref):
        detail = f"the path names {ref!r}; to rename a tenant, name it by its id there"
        raise ValidationFailed(errors=[FieldError("/slug", detail)])
    return slug


async def _living(session: AsyncSession, *, ref: str) -> Tenant:
    tenant = await service.get_tenant(session, ref=ref)
    if tenant.state == TenantState.DELETED:
        raise InvalidStateTransition(tenant.state, wanted="be replaced", allowed=(Transition.RESTORE, "purge"))
    return tenant


def _realms(tenant: Tenant) -> frozenset[object]:
    return frozenset((realm.id, realm.version) for realm in tenant.realms)
