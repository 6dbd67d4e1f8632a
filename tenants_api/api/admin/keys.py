"""A realm's signature keys in this worker's cache, and their refresh."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from pydantic import Field

from tenants_api.api.admin.paths import Ref
from tenants_api.control import service
from tenants_api.errors import RateLimited
from tenants_api.registry.errors import RealmNotFound, TenantNotFound
from tenants_api.replica.stored_keys import KeyReport
from tenants_api.schemas.base import ResponseModel, Time
from tenants_api.tokens.errors import KeysUnavailable
from tenants_api.web.current_admin import KeyWriter, Reader
from tenants_api.web.dependencies import ReadSession, ServicesDep
from tenants_api.web.preconditions import AdminRoute
from tenants_api.web.problems import problem_responses

router = APIRouter(
    prefix="/v1/tenants/{ref}/realms/{realm_id}/keys",
    tags=["keys"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, RealmNotFound),
)


class KeyOut(ResponseModel):
    kid: str
    alg: str
    use: str
    first_seen: Time | None
    last_used: Time | None


class KeysOut(ResponseModel):
    """`source` is `live`, `stored`, or null if this worker has no keys of the realm yet."""

    keys: list[KeyOut]
    fetched_at: Time | None
    next_refresh: Time | None
    source: str | None = Field(examples=["live"])


@router.get("", response_model=KeysOut)
async def list_keys(
    ref: Ref, realm_id: uuid.UUID, caller: Reader, session: ReadSession, services: ServicesDep
) -> KeyReport:
    """The key set."""
    await service.get_realm(session, ref=ref, realm_id=realm_id)
    return services.replica.key_report(realm_id)


@router.post("/refresh", response_model=KeysOut, responses=problem_responses(RateLimited, KeysUnavailable))
async def refresh_keys(ref: Ref, realm_id: uuid.UUID, caller: KeyWriter, services: ServicesDep) -> KeyReport:
    """Fetch keys and status now; withdrawn keys are refused at once, on every replica."""
    async with services.database.read() as session:  # closed before the request to the realm, which may be slow
        await service.get_realm(session, ref=ref, realm_id=realm_id)
    return await services.replica.refresh_keys(realm_id)
