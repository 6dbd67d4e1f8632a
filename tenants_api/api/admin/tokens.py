"""Explain why a token is accepted or refused. The token is neither stored nor logged."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from tenants_api.schemas.base import RequestModel, ResponseModel
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.explain import Explanation, explain
from tenants_api.web.current_admin import Reader
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.preconditions import UnstoredRoute

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=UnstoredRoute)


class TokenIn(RequestModel):
    token: str = Field(min_length=1, max_length=65_536)


class TenantRefOut(ResponseModel):
    id: uuid.UUID
    slug: str
    name: str


class StepOut(ResponseModel):
    step: str = Field(examples=["audience"])
    ok: bool
    expected: Any
    found: Any


class RoleFoundOut(ResponseModel):
    source: str = Field(serialization_alias="from", examples=["realm"])
    value: str


class ExplanationOut(ResponseModel):
    """The decision, with every step up to the one that refused the token."""

    accepted: bool
    reason: str = Field(examples=["wrong_audience"])
    tenant: TenantRefOut | None
    steps: list[StepOut]
    roles: list[str]
    hint: str | None = Field(description="what to do about a refused token, or about one that has no role")
    roles_found: list[RoleFoundOut] = Field(description="names in the token, unverified, that a role rule can map")


@router.post("/explain", response_model=ExplanationOut)
async def explain_token(body: TokenIn, caller: Reader, services: ServicesDep) -> Explanation:
    """Verify a token and report each step."""
    return await explain(services.verifier, Credential.bearer(body.token))
