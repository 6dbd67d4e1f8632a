"""How API keys, audit events, explanations and the status look on the wire of the admin plane."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import Field

from tenants_api.api.admin.fields import Instant, Name
from tenants_api.api.wire import Time, WireIn, WireOut
from tenants_api.registry.models import AuditEvent

Scope = Literal["tenants:read", "tenants:write", "keys:write", "audit:read"]


class ApiKeyIn(WireIn):
    """A new admin key; it may do no more than the caller who makes it."""

    name: Name = Field(examples=["deploy pipeline"])
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4, examples=[["tenants:read"]])]
    expires_at: Instant | None = Field(default=None, examples=["2027-01-01T00:00:00Z"])


class ApiKeyOut(WireOut):
    """An admin key; its text cannot be read again."""

    id: uuid.UUID
    key_id: str = Field(description="the public part of the key's text: tak_<key_id>_…")
    name: str
    scopes: list[str]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class ApiKeyMade(ApiKeyOut):
    """A new admin key with its text, which is shown this one time."""

    key: str = Field(examples=["tak_1f2e3d4c5b6a_…"])


class ApiKeyList(WireOut):
    """All keys, oldest first."""

    data: list[ApiKeyOut]


class Party(WireOut):
    type: str
    id: str


class Changes(WireOut):
    """Only what differs."""

    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class AuditEventOut(WireOut):
    """One change: who, what, when, why, and what it was before."""

    id: uuid.UUID
    action: str = Field(examples=["tenant.suspended"])
    occurred_at: Time
    actor: Party
    target: Party
    request_id: str | None
    changes: Changes
    reason: str | None


class TokenIn(WireIn):
    """A token as the caller sent it; it is not stored and not logged."""

    token: Annotated[str, Field(min_length=1, max_length=16_384)] = Field(examples=["eyJhbGciOi…"])


class TenantName(WireOut):
    id: uuid.UUID
    slug: str
    name: str


class StepOut(WireOut):
    """One step of the verifier; the last one listed is where a refused token stopped."""

    step: str
    ok: bool
    expected: Any
    found: Any


class ExplanationOut(WireOut):
    """Why a token is accepted or refused."""

    accepted: bool
    reason: str = Field(examples=["audience_mismatch"])
    tenant: TenantName | None
    steps: list[StepOut]
    roles: list[str]


class RegistryStatus(WireOut):
    """`lag_seconds`: since this worker last read the registry's version."""

    version: int
    lag_seconds: float
    alive: bool


class DatabaseStatus(WireOut):
    """`at_head` is null while the database does not answer."""

    head: str
    at_head: bool | None


class KeyStatus(WireOut):
    """Realms that this worker used since it started, by the health of their keys."""

    healthy: int = 0
    degraded: int = 0
    failing: int = 0
    unknown: int = 0


class StatusOut(WireOut):
    """The worker that answers, as it sees itself."""

    software_version: str
    registry: RegistryStatus
    database: DatabaseStatus
    keys: KeyStatus
    verified_tokens: int


def event_out(event: AuditEvent) -> AuditEventOut:
    """One row of the trail."""
    return AuditEventOut(
        id=event.id,
        action=event.action,
        occurred_at=event.occurred_at,
        actor=Party(type=event.actor_type, id=event.actor_id),
        target=Party(type=event.target_type, id=event.target_id),
        request_id=event.request_id,
        changes=Changes.model_validate(event.changes or {}),
        reason=event.reason,
    )
