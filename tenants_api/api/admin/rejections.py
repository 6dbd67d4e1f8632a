"""Recent refusals of a tenant's tokens. Tokens are never stored."""

from __future__ import annotations

from fastapi import APIRouter

from tenants_api.api.admin.paths import Ref
from tenants_api.registry.errors import TenantNotFound
from tenants_api.registry.rejections import list_rejections
from tenants_api.schemas.base import ResponseModel
from tenants_api.schemas.tenants import RejectionOut, rejection_out
from tenants_api.web.current_admin import Reader
from tenants_api.web.dependencies import ReadSession
from tenants_api.web.preconditions import AdminRoute
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/v1/tenants/{ref}/rejections", tags=["tokens"], route_class=AdminRoute)


class RejectionsOut(ResponseModel):
    """At most 100, the latest first."""

    data: list[RejectionOut]


@router.get("", response_model=RejectionsOut, responses=problem_responses(TenantNotFound))
async def list_rejected_tokens(ref: Ref, caller: Reader, session: ReadSession) -> RejectionsOut:
    """Refusals of the tenant's tokens, counted by reason, kid, azp and aud; some seconds late."""
    return RejectionsOut(data=[rejection_out(row) for row in await list_rejections(session, ref=ref)])
