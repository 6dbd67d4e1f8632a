"""Why a tenant's tokens were refused lately. A token itself is never kept."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from tenants_api.api.admin.guard import Reader
from tenants_api.api.admin.idempotency import AdminRoute
from tenants_api.api.admin.paths import Ref
from tenants_api.api.dependencies import ReadSession
from tenants_api.api.problems import problem_responses
from tenants_api.api.wire import Time, WireOut
from tenants_api.registry.errors import TenantNotFound
from tenants_api.registry.models import Rejection
from tenants_api.registry.rejections import list_rejections

router = APIRouter(prefix="/v1/tenants/{ref}/rejections", tags=["tokens"], route_class=AdminRoute)


class RejectionOut(WireOut):
    """Refused tokens that look alike. `kid`, `azp` and `aud` are the sender's words: unsigned tokens have some too."""

    reason: str = Field(examples=["wrong_audience"])
    kid: str | None
    azp: str | None
    aud: list[str]
    count: int
    time: Time = Field(description="of the last one")
    since: Time = Field(description="of the first one")


class RejectionsOut(WireOut):
    """At most a hundred, the latest first."""

    data: list[RejectionOut]


@router.get("", response_model=RejectionsOut, responses=problem_responses(TenantNotFound))
async def list_rejected_tokens(ref: Ref, caller: Reader, session: ReadSession) -> RejectionsOut:
    """The tenant's refused tokens, counted by what they have in common; some seconds late."""
    return RejectionsOut(data=[rejection_out(row) for row in await list_rejections(session, ref=ref)])


def rejection_out(row: Rejection) -> RejectionOut:
    """The row as the contract has it."""
    return RejectionOut(
        reason=row.reason,
        kid=row.kid,
        azp=row.authorized_party,
        aud=row.audience,
        count=row.count,
        time=row.last_at,
        since=row.first_at,
    )
