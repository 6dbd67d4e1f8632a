"""Tenants: create, list, read, change, upsert, delete."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from tenants_api.api.admin.changing import changing
from tenants_api.api.admin.guard import Reader, Writer
from tenants_api.api.admin.merging import merge
from tenants_api.api.admin.wire import (
    SLUG,
    TenantIn,
    TenantOut,
    TenantPatch,
    TenantPut,
    tenant_out,
    to_drafts,
    to_rules,
)
from tenants_api.api.dependencies import ReadSession, ServicesDep
from tenants_api.api.items import PageDep
from tenants_api.api.problems import problem_responses
from tenants_api.api.versions import parse_if_match, require_if_match
from tenants_api.api.wire import Paged, paged
from tenants_api.errors import EtagMismatch, FieldError, IfMatchRequired, ValidationFailed
from tenants_api.registry import repository, service
from tenants_api.registry.errors import (
    ExternalIdTaken,
    InvalidStateTransition,
    IssuerTaken,
    RealmNotReady,
    SlugTaken,
    TenantNotFound,
)
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health, TenantDraft, TenantFilter, TenantState, Transition
from tenants_api.wiring import Services

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])
Ref = Annotated[str, Path(max_length=64, description="id or slug", examples=["acme"])]
IfMatch = Annotated[str | None, Header(description="the ETag of the last read")]
_TAKEN = problem_responses(SlugTaken, ExternalIdTaken, IssuerTaken)
_VERSIONED = problem_responses(TenantNotFound, EtagMismatch, IfMatchRequired)


@router.post(
    "",
    response_model=TenantOut,
    status_code=status.HTTP_201_CREATED,
    responses={**_TAKEN, **problem_responses(ValidationFailed, RealmNotReady)},
)
async def create_tenant(
    tenant: TenantIn, request: Request, response: Response, caller: Writer, services: ServicesDep
) -> TenantOut:
    """Onboard a tenant: reserve it, check its realms, activate it when they are ready."""
    draft = _draft(tenant, slug=tenant.slug, services=services)
    change = caller.change()
    row = await services.onboarding.onboard(draft, activate=tenant.activate, change=change)
    return _answer(row, response=response, created=True)


@router.get("", response_model=Paged[TenantOut], responses=problem_responses(ValidationFailed))
async def list_tenants(
    caller: Reader,
    session: ReadSession,
    page: PageDep,
    state: TenantState | None = None,
    health: Health | None = None,
    issuer: Annotated[str | None, Query(max_length=600)] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[str | None, Query(max_length=200, description="a part of slug or name")] = None,
) -> dict[str, Any]:
    """Tenants, oldest first."""
    where = TenantFilter(state=state, health=health, issuer=issuer, external_id=external_id, q=q)
    return paged(await service.list_tenants(session, where=where, page=page), convert=tenant_out)


@router.get("/{ref}", response_model=TenantOut, responses=problem_responses(TenantNotFound))
async def get_tenant(ref: Ref, response: Response, caller: Reader, session: ReadSession) -> TenantOut:
    """One tenant with its realms, their conditions and its role mapping."""
    return _answer(await service.get_tenant(session, ref=ref), response=response)


@router.patch(
    "/{ref}",
    response_model=TenantOut,
    responses={**_VERSIONED, **problem_responses(ExternalIdTaken, ValidationFailed)},
)
async def update_tenant(
    ref: Ref,
    tenant: TenantPatch,
    request: Request,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> TenantOut:
    """Change some members by merge patch."""
    version = require_if_match(if_match)
    async with changing(services) as session:
        before = await service.get_tenant(session, ref=ref)
        fields = _patched(tenant, before=before, roles=services.roles.names)
        change = caller.change()
        row = await service.update_tenant(session, ref=ref, fields=fields, if_match=version, change=change)
    return _answer(row, response=response)


@router.put(
    "/{ref}",
    response_model=TenantOut,
    responses={
        201: {"model": TenantOut, "description": "Created"},
        **_TAKEN,
        **problem_responses(EtagMismatch, ValidationFailed, RealmNotReady),
    },
)
async def put_tenant(
    ref: Ref,
    tenant: TenantPut,
    request: Request,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    if_match: IfMatch = None,
    if_none_match: Annotated[str | None, Header(description="`*` creates only")] = None,
) -> TenantOut:
    """Make the tenant exactly this, creating it if need be; realms are matched by issuer and organization."""
    async with services.database.read() as session:
        present = await repository.find_tenant(session, ref=ref)
    if present is not None and (if_none_match or "").strip() == "*":
        raise EtagMismatch("the tenant exists already")
    draft = _draft(tenant, slug=tenant.slug or (present.slug if present is not None else ref), services=services)
    change = caller.change()
    if present is None:
        row = await services.onboarding.onboard(draft, activate=tenant.activate, change=change)
        return _answer(row, response=response, created=True)
    async with changing(services) as session:
        version = parse_if_match(if_match)
        row = await service.replace_tenant(session, ref=str(present.id), draft=draft, if_match=version, change=change)
    return _answer(await _checked(services, row, tenant=tenant, change=change), response=response)


@router.delete(
    "/{ref}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={**_VERSIONED, **problem_responses(InvalidStateTransition)},
)
async def delete_tenant(
    ref: Ref, request: Request, caller: Writer, services: ServicesDep, if_match: IfMatch = None
) -> None:
    """Delete a tenant: its tokens are refused at once; slug and issuers stay reserved until it is purged."""
    version = require_if_match(if_match)
    async with changing(services) as session:
        await service.move(
            session, ref=ref, transition=Transition.DELETE, if_match=version, change=caller.change()
        )


async def _checked(services: Services, row: Tenant, *, tenant: TenantPut, change: Any) -> Tenant:
    if row.state == TenantState.DRAFT and tenant.activate != "never":
        checked = await services.onboarding.check_tenant(str(row.id), change=change, activate=True)
        if checked.state == TenantState.DRAFT and tenant.activate == "now":
            return await services.onboarding.activate(str(row.id), change=change)
        return checked
    return await services.onboarding.check_tenant(str(row.id), change=change)


def _draft(tenant: TenantIn, *, slug: str, services: Services) -> TenantDraft:
    return TenantDraft(
        slug=_slug(slug),
        name=tenant.name,
        external_id=tenant.external_id,
        realms=to_drafts(tenant.realms, policy=services.policy),
        role_mapping=to_rules(tenant.role_mapping, roles=services.roles.names),
        metadata=tenant.metadata,
    )


def _slug(slug: str) -> str:
    """The slug may come from the path, which no model has checked."""
    if re.fullmatch(SLUG, slug) is None:
        raise ValidationFailed(errors=[FieldError("/slug", f"must match {SLUG}")])
    return slug


def _patched(patch: TenantPatch, *, before: Tenant, roles: frozenset[str]) -> dict[str, Any]:
    fields = patch.model_dump(exclude_unset=True)
    if "metadata" in fields:
        fields["metadata"] = merge(before.metadata_, fields["metadata"] or {})
    if "role_mapping" in fields:
        fields["role_mapping"] = to_rules(patch.role_mapping or [], roles=roles)
    return fields


def _answer(row: Tenant, *, response: Response, created: bool = False) -> TenantOut:
    response.headers["ETag"] = service.etag(row)
    if created:
        response.status_code = status.HTTP_201_CREATED
        response.headers["Location"] = f"/admin/v1/tenants/{row.id}"
    return tenant_out(row)
