"""Errors of the registry, raised with values as arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenants_api.errors import ApiError


class TenantNotFound(ApiError):
    status = 404
    code = "tenant_not_found"
    title = "No such tenant"
    cause = "No tenant has this id or slug."
    hint = "List the tenants with GET /admin/v1/tenants."


class RealmNotFound(ApiError):
    status = 404
    code = "realm_not_found"
    title = "No such realm"
    cause = "The tenant has no realm with this id."
    hint = "Read the tenant: its realms are listed there."


class ApiKeyNotFound(ApiError):
    status = 404
    code = "not_found"
    title = "No such API key"
    cause = "No admin API key has this id."
    hint = "List the keys with GET /admin/v1/api-keys."


class SlugTaken(ApiError):
    status = 409
    code = "slug_taken"
    title = "The slug already exists"
    cause = "Another tenant (also a deleted one, until it is purged) has this slug."
    hint = "Choose another slug."

    def __init__(self, slug: str) -> None:
        super().__init__(f"the slug {slug!r} already exists")


class ExternalIdTaken(ApiError):
    status = 409
    code = "external_id_taken"
    title = "The external id already exists"
    cause = "Another tenant has this external_id."
    hint = "Find it with GET /admin/v1/tenants?external_id=…"

    def __init__(self, external_id: str) -> None:
        super().__init__(f"the external_id {external_id!r} already exists")


class IssuerTaken(ApiError):
    status = 409
    code = "issuer_taken"
    title = "The issuer is already registered"
    cause = "A tenant has this issuer (with this organization); a deleted tenant has its issuers until it is purged."
    hint = "Find its tenant with GET /admin/v1/tenants?issuer=…; remove the realm there or purge the tenant."

    def __init__(self, issuer: str, *, organization: str | None = None) -> None:
        of = f" with the organization {organization!r}" if organization else ""
        super().__init__(f"the issuer {issuer!r}{of} is already registered")


class InvalidStateTransition(ApiError):
    status = 409
    code = "invalid_state_transition"
    title = "The state does not allow this"
    cause = "The only transitions are draft → active ⇄ suspended → deleted → (restore) suspended."
    hint = "Use one of the transitions that `allowed` lists."

    def __init__(self, state: str, *, wanted: str, allowed: Iterable[str]) -> None:
        names = sorted(allowed)
        super().__init__(
            f"a tenant in state {state!r} cannot {wanted}; allowed: {', '.join(names) or 'nothing'}",
            extra={"state": state, "allowed": names},
        )


class RealmNotReady(ApiError):
    status = 422
    code = "realm_not_ready"
    title = "The realm is not ready"
    cause = "A check of the realm failed; the report names it, with both values and what to do."
    hint = "Follow the failed condition's message, then repeat the request."

    def __init__(self, detail: str, *, report: Mapping[str, Any]) -> None:
        super().__init__(detail, extra={"report": report})


class IdempotencyInFlight(ApiError):
    status = 409
    code = "idempotency_in_flight"
    title = "The first request with this key is still running"
    cause = "Two requests carry the same Idempotency-Key at the same time."
    hint = "Repeat it after the seconds in Retry-After."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyMismatch(ApiError):
    status = 422
    code = "idempotency_mismatch"
    title = "The Idempotency-Key was used for another request"
    cause = "The same Idempotency-Key came with another path or body in the last 24 hours."
    hint = "Use a new key for a new request."


class RegistryUnavailable(ApiError):
    status = 503
    code = "registry_unavailable"
    title = "The registry is unavailable"
    cause = "The database cannot be reached, or it is not migrated."
    hint = "Retry later; the operator runs `tenants-api doctor`, which names the cause."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": "2"})
