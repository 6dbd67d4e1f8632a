"""A realm's signature keys as this worker holds them, and fetching them now."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from pydantic import Field

from tenants_api.api.admin.guard import KeyWriter, Reader
from tenants_api.api.admin.idempotency import AdminRoute
from tenants_api.api.admin.paths import Ref
from tenants_api.api.dependencies import ReadSession, ServicesDep
from tenants_api.api.problems import problem_responses
from tenants_api.api.wire import Time, WireOut
from tenants_api.errors import RateLimited
from tenants_api.registry import service
from tenants_api.registry.errors import RealmNotFound, TenantNotFound
from tenants_api.trust import KeyReport
from tenants_api.verification.errors import KeysUnavailable

router = APIRouter(
    prefix="/v1/tenants/{ref}/realms/{realm_id}/keys",
    tags=["keys"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, RealmNotFound),
)


class KeyOut(WireOut):
    kid: str
    alg: str
    use: str
    first_seen: Time | None
    last_used: Time | None


class KeysOut(WireOut):
    """`source` is `live`, `stored`, or null while nothing was fetched here yet."""

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
    return services.trust.key_report(realm_id)


@router.post("/refresh", response_model=KeysOut, responses=problem_responses(RateLimited, KeysUnavailable))
async def refresh_keys(ref: Ref, realm_id: uuid.UUID, caller: KeyWriter, services: ServicesDep) -> KeyReport:
    """Fetch keys and status now; what Keycloak withdrew stops working at once, on every replica."""
    async with services.database.read() as session:  # ended before the realm is asked: it may take its time
        await service.get_realm(session, ref=ref, realm_id=realm_id)
    return await services.trust.refresh_keys(realm_id)
