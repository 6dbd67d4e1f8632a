"""`/authz` and everything below it: may this request pass, and as whom?

One ASGI callable. The decision comes from `Authorization` and the proxy's configured query alone: no method, no path,
no body and no `X-Forwarded-*` is looked at, so none of them can be forged into a pass.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

import structlog

from tenants_api.authz.identity import Headers, identity_headers
from tenants_api.authz.options import Options, parse_options
from tenants_api.errors import ApiError, InvalidRequest
from tenants_api.verification.credentials import bearer_token_of
from tenants_api.verification.errors import InsufficientRole, TenantMismatch, TokenError
from tenants_api.verification.principal import Principal
from tenants_api.verification.roles import RoleModel
from tenants_api.verification.verifier import TokenVerifier

PATH = "/authz"
PATIENCE = 0.15  # seconds for a realm; Envoy gives an authorizer 200 ms in all
_THROUGH_NGINX = frozenset({401, 403})  # auth_request takes any other refusal for a failure, and answers 500
log = structlog.get_logger("tenants_api.authz")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Counter(Protocol):
    """What is counted of a decision."""

    def token_verified(self, result: str, *, reason: str = "none") -> None: ...


class Authorizer:
    """Decides. `answer` is the whole of forward auth but the routing."""

    def __init__(self, *, verifier: TokenVerifier, roles: RoleModel, counter: Counter) -> None:
        self._verifier, self._roles, self._counter = verifier, roles, counter

    async def answer(self, scope: Scope, send: Send, *, request_id: str) -> None:
        """Answer one request, whatever its method and path; its body is never read."""
        options: Options | None = None
        try:
            options = parse_options(scope.get("query_string", b""))
            principal = await self._admit(scope["headers"], options=options)
            status, headers, body = 200, identity_headers(principal), b""
        except ApiError as error:
            status, headers, body = refusal(error, options=options, request_id=request_id)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _admit(self, headers: Iterable[tuple[bytes, bytes]], *, options: Options) -> Principal:
        if options.role is not None and options.role not in self._roles.names:
            raise InvalidRequest(f"role= names none of the roles {', '.join(sorted(self._roles.names))}")
        principal = await self._verified(bearer_token_of(headers))
        if options.tenant is not None and options.tenant != principal.tenant.slug:
            raise TenantMismatch
        if options.role is not None and not self._roles.permits(principal.roles, needed=options.role):
            raise InsufficientRole(options.role)
        return principal

    async def _verified(self, raw: str) -> Principal:
        principal = self._verifier.recall(raw)
        if principal is not None:
            return principal
        try:
            principal = await self._verifier.verify(raw, patience=PATIENCE)
        except TokenError as error:
            self._note(error)
            raise
        self._counter.token_verified("accepted")
        return principal

    def _note(self, error: TokenError) -> None:
        found = error.refusal
        self._counter.token_verified("refused", reason=found.reason if found is not None else error.code)
        if found is not None:
            log.info(
                "token_refused",
                reason=found.reason,
                step=found.step,
                expected=found.expected,
                found=found.found,
                tenant=found.tenant_slug,
            )


def is_authz(path: str) -> bool:
    """Whether a path is forward auth's: `/authz` itself or anything below it."""
    return path == PATH or path.startswith(f"{PATH}/")


def refusal(error: ApiError, *, options: Options | None, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and problem of a refusal, as the profile wants them."""
    status = error.status
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1", "replace")) for name, value in error.headers.items()
    ]
    headers.append((b"content-type", b"application/problem+json"))
    if options is not None and options.profile == "nginx":
        if status not in _THROUGH_NGINX:
            status = 403
        headers.append((b"x-authz-error", error.code.encode("ascii")))
    problem = error.as_problem(request_id=request_id)
    return status, headers, json.dumps(problem | {"status": status}).encode("ascii")
