"""The realms of a tenant: several issuers for a rename, a blue/green Keycloak, a migration."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Response, status

from tenants_api.api.admin.changing import changing
from tenants_api.api.admin.guard import Reader, Writer
from tenants_api.api.admin.idempotency import AdminRoute
from tenants_api.api.admin.paths import IfMatch, Ref
from tenants_api.api.admin.wire import RealmIn, RealmOut, RealmPatch, draft_of, to_draft
from tenants_api.api.dependencies import ReadSession, ServicesDep
from tenants_api.api.problems import problem_responses
from tenants_api.api.versions import require_if_match
from tenants_api.api.wire import WireOut
from tenants_api.errors import EtagMismatch, IfMatchRequired, ValidationFailed
from tenants_api.keycloak.urls import lower_host
from tenants_api.registry import service
from tenants_api.registry.errors import IssuerTaken, RealmNotFound, TenantNotFound
from tenants_api.registry.models import Realm
from tenants_api.registry.values import RealmDraft
from tenants_api.wiring import Services

router = APIRouter(
    prefix="/v1/tenants/{ref}/realms",
    tags=["realms"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, ValidationFailed),
)
_VERSIONED = problem_responses(RealmNotFound, EtagMismatch, IfMatchRequired, IssuerTaken)
# What decides where keys come from and which tokens are good: after a change of these the checks run again.
_CHECKED = (
    "issuer", "realm_url", "client_id", "audiences", "algorithms", "ca_bundle", "organization", "enabled",
    "issuer_check",
)  # fmt: skip


class RealmList(WireOut):
    data: list[RealmOut]


@router.get("", response_model=RealmList)
async def list_realms(ref: Ref, caller: Reader, session: ReadSession) -> dict[str, Any]:
    """All realms of the tenant."""
    tenant = await service.get_tenant(session, ref=ref)
    return {"data": [_out(realm) for realm in tenant.realms]}


@router.post("", response_model=RealmOut, status_code=status.HTTP_201_CREATED, responses=problem_responses(IssuerTaken))
async def add_realm(ref: Ref, realm: RealmIn, response: Response, caller: Writer, services: ServicesDep) -> RealmOut:
    """Add a realm and check it at once; it serves as soon as the tenant is active."""
    draft = to_draft(realm, policy=services.policy)
    row = await services.onboarding.add_realm(ref, draft, change=caller.change())
    response.headers["Location"] = f"/admin/v1/tenants/{row.tenant_id}/realms/{row.id}"
    return _answer(row, response=response)


@router.get("/{realm_id}", response_model=RealmOut, responses=problem_responses(RealmNotFound))
async def get_realm(
    ref: Ref, realm_id: uuid.UUID, response: Response, caller: Reader, session: ReadSession
) -> RealmOut:
    """One realm with its conditions."""
    return _answer(await service.get_realm(session, ref=ref, realm_id=realm_id), response=response)


@router.patch("/{realm_id}", response_model=RealmOut, responses=_VERSIONED)
async def update_realm(
    ref: Ref,
    realm_id: uuid.UUID,
    realm: RealmPatch,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> RealmOut:
    """Change a realm by merge patch; what decides about tokens is checked again."""
    version, change = require_if_match(if_match), caller.change()
    async with changing(services) as session:
        before = await service.get_realm(session, ref=ref, realm_id=realm_id)
        draft = _patched(realm, before=before, services=services)
        # What was merged must be what is stored still, also with `If-Match: *`.
        expected = version if version is not None else before.version
        row = await service.update_realm(
            session, ref=ref, realm_id=realm_id, draft=draft, if_match=expected, change=change
        )
        tenant = await service.get_tenant(session, ref=ref)
    if realm.model_fields_set & set(_CHECKED):
        checked = await services.onboarding.check_after(tenant, change=change)
        row = next((one for one in checked.realms if one.id == realm_id), row)
    return _answer(row, response=response)


@router.delete("/{realm_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_VERSIONED)
async def remove_realm(
    ref: Ref,
    realm_id: uuid.UUID,
    caller: Writer,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> None:
    """Remove a realm: its tokens are refused at once, and its issuer is free again."""
    version, change = require_if_match(if_match), caller.change()
    async with changing(services) as session:
        await service.remove_realm(session, ref=ref, realm_id=realm_id, if_match=version, change=change)


def _patched(patch: RealmPatch, *, before: Realm, services: Services) -> RealmDraft:
    """The realm as it will be. What followed from the issuer or the client id goes on following it."""
    present = {name: getattr(before, name) for name in RealmIn.model_fields}
    present["organization"] = before.organization or None
    if before.audiences == [before.client_id]:
        present["audiences"] = None
    if before.realm_url == lower_host(before.issuer):
        present["realm_url"] = None
    draft = draft_of({**present, **patch.model_dump(exclude_unset=True)}, policy=services.policy)
    services.onboarding.refuse_reserved((draft,))
    return draft


def _out(realm: Realm) -> RealmOut:
    return RealmOut.model_validate(realm)


def _answer(row: Realm, *, response: Response) -> RealmOut:
    response.headers["ETag"] = service.etag(row)
    return _out(row)
