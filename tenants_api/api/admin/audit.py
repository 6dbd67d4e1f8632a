"""The audit log."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BeforeValidator, Field

from tenants_api.errors import ValidationFailed
from tenants_api.registry import audit
from tenants_api.registry.models import AuditEvent
from tenants_api.schemas.base import Paged, ResponseModel, Time, paged
from tenants_api.web.current_admin import Auditor
from tenants_api.web.dependencies import PageDep, ReadSession
from tenants_api.web.preconditions import AdminRoute
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/v1/audit-events", tags=["audit"], route_class=AdminRoute)


class Party(ResponseModel):
    type: str
    id: str


def _rfc3339(value: Any) -> Any:
    """Refuse what Pydantic would take for a time besides RFC 3339, such as seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", value):
        raise ValueError("must be an RFC 3339 time, such as 2026-12-01T08:00:00Z")
    return value


Since = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


class AuditEventOut(ResponseModel):
    """One change; `changes` has only the members that differ."""

    id: uuid.UUID
    action: str
    occurred_at: Time
    actor: Party
    target: Party
    tenant: str | None = Field(description="slug of the tenant that the target is, or belongs to")
    request_id: str | None
    changes: dict[str, Any]
    reason: str | None


@router.get("", response_model=Paged[AuditEventOut], responses=problem_responses(ValidationFailed))
async def list_audit_events(
    caller: Auditor,
    session: ReadSession,
    page: PageDep,
    action: Annotated[str | None, Query(max_length=64, examples=["tenant.suspended"])] = None,
    target: Annotated[str | None, Query(max_length=64, description="id of a tenant, realm or key")] = None,
    actor: Annotated[str | None, Query(max_length=600)] = None,
    since: Annotated[
        AwareDatetime | None, BeforeValidator(_rfc3339), Query(description="earliest time (RFC 3339)")
    ] = None,
) -> dict[str, Any]:
    """Events, newest first."""
    found = await audit.list_events(session, page=page, action=action, target=target, actor=actor, since=since)
    slugs = await audit.slugs_of(session, events=found.items)
    return paged(found, convert=lambda row: _event(row, tenant=slugs.get(row.target_id)))


def _event(row: AuditEvent, *, tenant: str | None) -> AuditEventOut:
    return AuditEventOut(
        id=row.id,
        action=row.action,
        occurred_at=row.occurred_at,
        actor=Party(type=row.actor_type, id=row.actor_id),
        target=Party(type=row.target_type, id=row.target_id),
        tenant=tenant,
        request_id=row.request_id,
        changes=row.changes,
        reason=row.reason,
    )
