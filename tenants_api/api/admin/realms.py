"""The realms of a tenant. Several serve a rename, a blue/green Keycloak or a migration."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Response, status

from tenants_api.api.admin.paths import IfMatch, MountPath, Ref
from tenants_api.control import service
from tenants_api.errors import EtagMismatch, IfMatchRequired, ValidationFailed
from tenants_api.registry import repository
from tenants_api.registry.errors import IssuerTaken, RealmNotFound, TenantNotFound
from tenants_api.registry.models import Realm
from tenants_api.schemas.base import ResponseModel
from tenants_api.schemas.tenants import RealmIn, RealmOut, RealmPatch, to_draft
from tenants_api.web.current_admin import Reader, Writer
from tenants_api.web.dependencies import CommandsDep, ReadSession
from tenants_api.web.preconditions import AdminRoute, etag, require_if_match
from tenants_api.web.problems import problem_responses

router = APIRouter(
    prefix="/v1/tenants/{ref}/realms",
    tags=["realms"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, ValidationFailed),
)
_VERSIONED = problem_responses(RealmNotFound, EtagMismatch, IfMatchRequired, IssuerTaken)


class RealmList(ResponseModel):
    data: list[RealmOut]


@router.get("", response_model=RealmList)
async def list_realms(ref: Ref, caller: Reader, session: ReadSession) -> dict[str, Any]:
    """All realms of the tenant."""
    tenant = await repository.get_tenant(session, ref=ref)
    return {"data": [RealmOut.model_validate(realm) for realm in tenant.realms]}


@router.post("", response_model=RealmOut, status_code=status.HTTP_201_CREATED, responses=problem_responses(IssuerTaken))
async def add_realm(
    ref: Ref, realm: RealmIn, response: Response, caller: Writer, commands: CommandsDep, mount: MountPath
) -> RealmOut:
    """Add a realm and check it; its tokens are accepted as soon as the tenant is active."""
    draft = to_draft(realm, policy=commands.vocabulary.policy)
    row = await commands.add_realm(ref, draft, change=caller.change())
    response.headers["Location"] = f"{mount}/v1/tenants/{row.tenant_id}/realms/{row.id}"
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
    commands: CommandsDep,
    if_match: IfMatch = None,
) -> RealmOut:
    """Change a realm by merge patch; checks are repeated where the change can affect its tokens."""
    row = await commands.update_realm(
        ref,
        realm_id,
        realm.model_dump(exclude_unset=True),
        if_match=require_if_match(if_match),
        change=caller.change(),
    )
    return _answer(row, response=response)


@router.delete("/{realm_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_VERSIONED)
async def remove_realm(
    ref: Ref,
    realm_id: uuid.UUID,
    caller: Writer,
    commands: CommandsDep,
    if_match: IfMatch = None,
) -> None:
    """Remove a realm: its tokens are refused at once, and its issuer is free again."""
    await commands.remove_realm(ref, realm_id, if_match=require_if_match(if_match), change=caller.change())


def _answer(row: Realm, *, response: Response) -> RealmOut:
    response.headers["ETag"] = etag(row)
    return RealmOut.model_validate(row)
