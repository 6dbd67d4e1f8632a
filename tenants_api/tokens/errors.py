"""Errors of verification.

The response is the same for every refused token (RFC 6750 section 3.1). The precise reason is in `Refusal`, for log,
metric and `token explain`, and never in a response to the caller.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from tenants_api.errors import ApiError, InvalidRequest

REALM = "tenants-api"


class Refusal(NamedTuple):
    """Why a token was refused: the step of the pipeline, a stable reason, and both values.

    `expected` and `found` never hold the token. The other fields are set once the realm is known: its tenant, and
    three unverified values of the token, of any type.
    """

    step: str
    reason: str
    expected: Any = None
    found: Any = None
    tenant_slug: str | None = None
    tenant_id: uuid.UUID | None = None
    realm_id: uuid.UUID | None = None
    kid: str | None = None
    authorized_party: Any = None
    audience: Any = None


class TokenError(ApiError):
    """A refusal by the verifier; `refusal` is for the operator."""

    challenge: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        # Set on the class, not on each error: a flood of garbage makes a flood of errors.
        cls.detail = cls.title
        if cls.challenge:
            cls.headers = MappingProxyType({"WWW-Authenticate": cls.challenge})

    def __init__(self, refusal: Refusal | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        Exception.__init__(self, self.detail)
        self.refusal = refusal
        if headers:
            self.headers = headers


class MalformedCredentials(InvalidRequest):
    """Two Authorization headers, a header that is not `Bearer <token68>`, or one that is too long.

    `refusal` is for the operator: reason `malformed_credentials` or `token_too_large`.
    """

    def __init__(self, detail: str, *, refusal: Refusal) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": f'Bearer realm="{REALM}", error="invalid_request"'})
        self.refusal = refusal


class MissingToken(TokenError):
    status = 401
    code = "missing_token"
    title = "A bearer token is required"
    cause = "The request carries no credentials."
    hint = "Send `Authorization: Bearer <access token>`."
    # No `error` attribute when no credentials were sent (RFC 6750 section 3.1).
    challenge = f'Bearer realm="{REALM}"'


class InvalidToken(TokenError):
    status = 401
    code = "invalid_token"
    title = "The access token is not accepted"
    cause = "The token's issuer, signature, type, audience or another claim is not accepted by this API."
    hint = "Get a new access token; an admin can see the reason with POST /admin/v1/tokens/explain."
    challenge = f'Bearer realm="{REALM}", error="invalid_token", error_description="The access token is not accepted"'


class TokenExpired(TokenError):
    status = 401
    code = "token_expired"
    title = "The access token expired"
    cause = "Everything about the token is good except that its lifetime is over."
    hint = "Refresh the token at the realm and repeat the request."
    challenge = f'Bearer realm="{REALM}", error="invalid_token", error_description="The access token expired"'


class InsufficientRole(TokenError):
    status = 403
    code = "insufficient_role"
    title = "The role is missing"
    cause = "The token is good, but none of its mapped roles permits this."
    hint = "Give the user the role in the realm, or map one of the user's roles to it."

    def __init__(self, role: str) -> None:
        super().__init__(
            headers={
                "WWW-Authenticate": f'Bearer realm="{REALM}", error="insufficient_scope", '
                f'error_description="The role {role} is required", scope="{role}"'
            }
        )
        self.detail = f"the role {role!r} is required"
        self.extra = {"required_role": role}


class TenantMismatch(TokenError):
    status = 403
    code = "tenant_mismatch"
    title = "The path names another tenant"
    cause = "The tenant in the path is not the one that the token's issuer belongs to."
    hint = "Call your own tenant's path, or the path without a tenant."
    challenge = (
        f'Bearer realm="{REALM}", error="insufficient_scope", error_description="The token is for another tenant"'
    )


class TenantSuspended(TokenError):
    status = 403
    code = "tenant_suspended"
    title = "The tenant is suspended"
    cause = "The token is good; an admin suspended the tenant."
    hint = "Ask the operator of this API."
    challenge = f'Bearer realm="{REALM}", error="insufficient_scope", error_description="The tenant is suspended"'


class KeysUnavailable(TokenError):
    status = 503
    code = "keys_unavailable"
    title = "The realm's keys are unavailable"
    cause = "The issuer is registered, but its realm cannot be reached and no usable keys are stored."
    hint = "Repeat the request after the seconds in Retry-After."

    def __init__(self, refusal: Refusal | None = None, *, retry_after: float = 1) -> None:
        super().__init__(refusal, headers={"Retry-After": str(max(1, round(retry_after)))})
