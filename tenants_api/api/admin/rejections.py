"""Why a tenant's tokens were refused lately. A token itself is never kept."""

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
    """At most a hundred, the latest first."""

    data: list[RejectionOut]


@router.get("", response_model=RejectionsOut, responses=problem_responses(TenantNotFound))
async def list_rejected_tokens(ref: Ref, caller: Reader, session: ReadSession) -> RejectionsOut:
    """The tenant's refused tokens, counted by what they have in common; some seconds late."""
    return RejectionsOut(data=[rejection_out(row) for row in await list_rejections(session, ref=ref)])
