"""`/v1/me` and `/v1/tenant`: the caller, and the caller's tenant."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from tenants_api.registry import repository
from tenants_api.registry.models import Tenant
from tenants_api.schemas.base import ResponseModel, Time, example
from tenants_api.schemas.tenants import RuleOut
from tenants_api.tokens.errors import (
    InsufficientRole,
    InvalidToken,
    KeysUnavailable,
    MalformedCredentials,
    MissingToken,
    TenantMismatch,
    TenantSuspended,
    TokenExpired,
)
from tenants_api.tokens.principal import Principal
from tenants_api.web.dependencies import CurrentPrincipal, ReadSession, requires
from tenants_api.web.problems import problem_responses

TOKEN_PROBLEMS = (
    MalformedCredentials,
    MissingToken,
    InvalidToken,
    TokenExpired,
    InsufficientRole,
    TenantMismatch,
    TenantSuspended,
    KeysUnavailable,
)
router = APIRouter(prefix="/v1", tags=["tenant"], responses=problem_responses(*TOKEN_PROBLEMS))


class TenantName(ResponseModel):
    id: uuid.UUID
    slug: str
    name: str


class Me(ResponseModel):
    """The caller; claims that the token lacks are null, roles are the mapped roles."""

    model_config = example(
        tenant={"id": "01a20797-0a7e-766a-974a-d07c52d60bc8", "slug": "acme", "name": "Acme"},
        issuer="https://id.example/realms/acme",
        organization=None,
        subject="3f1c2b7e-6a53-4c8e-9a57-0d1c1a2b3c4d",
        username="alice",
        email="alice@acme.example",
        email_verified=True,
        full_name="Alice Doe",
        roles=["editor"],
        authorized_party="web",
        scopes=["openid", "profile", "email"],
        expires_at="2026-11-23T09:35:00.000Z",
        service_account=False,
    )

    tenant: TenantName
    issuer: str
    organization: str | None
    subject: str
    username: str | None
    email: str | None
    email_verified: bool | None
    full_name: str | None
    roles: list[str]
    authorized_party: str | None
    scopes: list[str]
    expires_at: Time
    service_account: bool


class OwnRealm(ResponseModel):
    issuer: str


class OwnTenant(ResponseModel):
    """A tenant as its own users see it."""

    model_config = example(
        slug="acme",
        name="Acme",
        state="active",
        realms=[{"issuer": "https://id.example/realms/acme"}],
        role_mapping=[{"from": "group", "value": "/staff/clerks", "role": "editor"}],
    )

    slug: str
    name: str
    state: str
    realms: list[OwnRealm]
    role_mapping: list[RuleOut] = Field(validation_alias="role_rules")


@router.get("/me", response_model=Me)
async def me(principal: CurrentPrincipal) -> dict[str, Any]:
    """The token's user or client, its tenant and its roles."""
    return principal._asdict() | {"roles": sorted(principal.roles), "scopes": principal.scopes}


@router.get("/tenant", response_model=OwnTenant)
async def own_tenant(principal: Annotated[Principal, requires("viewer")], session: ReadSession) -> Tenant:
    """Your own tenant."""
    return await repository.get_tenant(session, ref=str(principal.tenant.id))
