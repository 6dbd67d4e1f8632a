"""Create, list, read, change, upsert and delete tenants."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response, status

from tenants_api.api.admin.paths import IfMatch, MountPath, Ref
from tenants_api.errors import EtagMismatch, FieldError, IfMatchRequired, ValidationFailed
from tenants_api.ids import is_id
from tenants_api.registry import repository
from tenants_api.registry.errors import (
    ExternalIdTaken,
    InvalidStateTransition,
    IssuerTaken,
    RealmNotReady,
    SlugTaken,
    TenantNotFound,
)
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health, TenantFilter, TenantState, Transition
from tenants_api.schemas.base import Paged, check_metadata, merge_patch, paged
from tenants_api.schemas.tenants import TenantIn, TenantOut, TenantPatch, TenantPut, tenant_draft, tenant_out, to_rules
from tenants_api.web.current_admin import Reader, Writer
from tenants_api.web.dependencies import CommandsDep, PageDep, ReadSession
from tenants_api.web.preconditions import AdminRoute, etag, parse_if_match, require_if_match
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], route_class=AdminRoute)
_TAKEN = problem_responses(SlugTaken, ExternalIdTaken, IssuerTaken)
_VERSIONED = problem_responses(TenantNotFound, EtagMismatch, IfMatchRequired)


@router.post(
    "",
    response_model=TenantOut,
    status_code=status.HTTP_201_CREATED,
    responses={**_TAKEN, **problem_responses(ValidationFailed, RealmNotReady)},
)
async def create_tenant(
    tenant: TenantIn, response: Response, caller: Writer, commands: CommandsDep, mount: MountPath
) -> TenantOut:
    """Onboard a tenant: reserve it, check its realms, activate it if they are ready."""
    draft = tenant_draft(tenant, vocabulary=commands.vocabulary)
    row = await commands.create(draft, activate=tenant.activate, change=caller.change())
    return _answer(row, response=response, created_at=mount)


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
    return paged(await repository.list_tenants(session, where=where, page=page), convert=tenant_out)


@router.get("/{ref}", response_model=TenantOut, responses=problem_responses(TenantNotFound))
async def get_tenant(ref: Ref, response: Response, caller: Reader, session: ReadSession) -> TenantOut:
    """One tenant with its realms, their conditions and its role mapping."""
    return _answer(await repository.get_tenant(session, ref=ref), response=response)


@router.patch(
    "/{ref}",
    response_model=TenantOut,
    responses={**_VERSIONED, **problem_responses(ExternalIdTaken, ValidationFailed)},
)
async def update_tenant(
    ref: Ref,
    tenant: TenantPatch,
    response: Response,
    caller: Writer,
    commands: CommandsDep,
    if_match: IfMatch = None,
) -> TenantOut:
    """Change some members by merge patch."""
    version = require_if_match(if_match)
    patch = partial(_patched, tenant, roles=commands.vocabulary.roles)
    row = await commands.update(ref, patch, if_match=version, change=caller.change())
    return _answer(row, response=response)


@router.put(
    "/{ref}",
    response_model=TenantOut,
    responses={
        201: {"model": TenantOut, "description": "Created"},
        **_TAKEN,
        **problem_responses(TenantNotFound, EtagMismatch, ValidationFailed, RealmNotReady),
    },
)
async def put_tenant(
    ref: Ref,
    tenant: TenantPut,
    response: Response,
    caller: Writer,
    commands: CommandsDep,
    mount: MountPath,
    if_match: IfMatch = None,
    if_none_match: Annotated[str | None, Header(description="`*` creates only")] = None,
) -> TenantOut:
    """Replace the tenant, or create it; realms are matched by issuer and organization.

    Checks run if a realm is new or changed, and for a draft, which they activate unless `activate` is `never`.
    """
    slug = None if is_id(ref) else ref
    if slug is not None and tenant.slug not in (None, slug):
        detail = f"the path has the slug {ref!r}; to rename a tenant, put its id into the path"
        raise ValidationFailed(errors=[FieldError("/slug", detail)])
    row, created = await commands.put(
        ref,
        tenant_draft(tenant, vocabulary=commands.vocabulary, slug=slug),
        activate=tenant.activate,
        if_match=parse_if_match(if_match),
        create_only=(if_none_match or "").strip() == "*",
        change=caller.change(),
    )
    return _answer(row, response=response, created_at=mount if created else None)


@router.delete(
    "/{ref}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={**_VERSIONED, **problem_responses(InvalidStateTransition)},
)
async def delete_tenant(ref: Ref, caller: Writer, commands: CommandsDep, if_match: IfMatch = None) -> None:
    """Delete a tenant: its tokens are refused at once; slug and issuers stay reserved until it is purged."""
    version = require_if_match(if_match)
    await commands.move(ref, Transition.DELETE, if_match=version, change=caller.change())


def _patched(patch: TenantPatch, before: Tenant, *, roles: frozenset[str]) -> dict[str, Any]:
    fields = patch.model_dump(exclude_unset=True)
    if "metadata" in fields:
        fields["metadata"] = _merged(before.metadata_, patch=patch.metadata)
    if "role_mapping" in fields:
        fields["role_mapping"] = to_rules(patch.role_mapping or [], roles=roles)
    return fields


def _merged(stored: dict[str, Any], *, patch: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return check_metadata(merge_patch(stored, patch=patch) if patch is not None else {})
    except ValueError as error:
        raise ValidationFailed(errors=[FieldError("/metadata", str(error))]) from error


def _answer(row: Tenant, *, response: Response, created_at: str | None = None) -> TenantOut:
    response.headers["ETag"] = etag(row)
    if created_at is not None:
        response.status_code = status.HTTP_201_CREATED
        response.headers["Location"] = f"{created_at}/v1/tenants/{row.id}"
    return tenant_out(row)
