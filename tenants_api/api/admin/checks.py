"""The onboarding checks: of a tenant's realms, and of a realm that is not registered yet."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from tenants_api.api.admin.paths import Ref
from tenants_api.control.realm_checks import enabled
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.registry import repository
from tenants_api.registry.errors import TenantNotFound
from tenants_api.registry.models import Tenant
from tenants_api.schemas.base import ClientId, PlainText, RequestModel, ResponseModel, Url
from tenants_api.schemas.tenants import ConditionOut, IssuerCheckMode
from tenants_api.web.current_admin import Reader, Writer
from tenants_api.web.dependencies import CommandsDep, ReadSession
from tenants_api.web.preconditions import AdminRoute
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/v1", tags=["checks"], route_class=AdminRoute)


class IssuerCheckIn(RequestModel):
    """A realm to check; one of `issuer` and `realm_url` is required."""

    issuer: Url | None = None
    realm_url: Url | None = None
    client_id: ClientId | None = None
    issuer_check: IssuerCheckMode = Field(default="discovery", description="as on a realm")
    sample_token: PlainText | None = Field(default=None, max_length=65_536)


class Outcome(ResponseModel):
    type: str
    status: str
    reason: str
    message: str


class IssuerCheck(ResponseModel):
    """The checks in order. `suggested_issuer` is the issuer in the discovery document, if it differs."""

    ready: bool
    suggested_issuer: str | None
    conditions: list[Outcome]


class RealmChecks(ResponseModel):
    realm_id: uuid.UUID
    issuer: str
    conditions: list[ConditionOut]


class TenantChecks(ResponseModel):
    """The last checks of every realm; `conditions` are those of the first realm."""

    ready: bool
    conditions: list[ConditionOut]
    realms: list[RealmChecks]


@router.post("/issuer-checks", response_model=IssuerCheck, responses=problem_responses(ValidationFailed))
async def check_issuer(body: IssuerCheckIn, caller: Writer, commands: CommandsDep) -> Any:
    """Check a realm before it is registered. Stores nothing; the status is 200 also if checks fail.

    The check sends requests to the given host and reports which rule blocked them, so it requires `tenants:write`.
    """
    if body.issuer is None and body.realm_url is None:
        raise ValidationFailed(errors=[FieldError("/issuer", "give issuer or realm_url")])
    return await commands.checks.preflight(
        issuer=body.issuer,
        realm_url=body.realm_url,
        client_id=body.client_id,
        sample_token=body.sample_token,
        issuer_check=body.issuer_check,
    )


@router.post("/tenants/{ref}/checks", response_model=TenantChecks, responses=problem_responses(TenantNotFound))
async def run_checks(ref: Ref, caller: Writer, commands: CommandsDep) -> dict[str, Any]:
    """Run the checks of the tenant's realms now."""
    return _checks(await commands.check_tenant(ref, change=caller.change()))


@router.get("/tenants/{ref}/checks", response_model=TenantChecks, responses=problem_responses(TenantNotFound))
async def last_checks(ref: Ref, caller: Reader, session: ReadSession) -> dict[str, Any]:
    """The results of the last checks."""
    return _checks(await repository.get_tenant(session, ref=ref))


def _checks(tenant: Tenant) -> dict[str, Any]:
    realms = [{"realm_id": realm.id, "issuer": realm.issuer, "conditions": realm.conditions} for realm in tenant.realms]
    found = enabled(tenant)
    ready = bool(found) and all(
        any(one.type == "Ready" and one.status == "True" for one in realm.conditions) for realm in found
    )
    return {"ready": ready, "conditions": realms[0]["conditions"] if realms else [], "realms": realms}
