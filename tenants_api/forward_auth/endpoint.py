"""`/authz` and every path below it: accept or refuse a request, and return the caller's identity headers.

The decision depends on `Authorization` and the configured query only: a forged method, path, body or `X-Forwarded-*`
does not change it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tenants_api.errors import ApiError, InvalidRequest, NotFound
from tenants_api.forward_auth.identity import ASSERTION, Headers, identity_headers
from tenants_api.forward_auth.options import Options, parse_options
from tenants_api.observability.logging import REQUEST
from tenants_api.tokens.cache import size_of
from tenants_api.tokens.errors import InsufficientRole, TenantMismatch, TokenExpired
from tenants_api.tokens.principal import Principal, RoleModel
from tenants_api.tokens.verifier import TokenVerifier

PATH = "/authz"
MAX_CACHED_PRINCIPALS = 4096  # whose headers are cached, about a kilobyte each
MAX_CACHED_PRINCIPAL_BYTES = 4096  # of a cached principal; headers of a larger one are built each time
KEY_WAIT_SECONDS = 0.15  # for keys of a realm; Envoy's timeout for an authorizer is 200 ms
_THROUGH_NGINX = frozenset({401, 403})  # for any other refusal auth_request responds with 500

_BELOW = f"{PATH}/"
# Empty and dot segments (RFC 3986 section 5.2.4), also percent-encoded twice or with backslashes. A proxy that hides
# `/authz` from clients resolves them: `/authz/..` is `/` to the proxy, and would reveal to clients whether a token is
# valid.
_SLASH, _DOT = r"(?:[/\\]|%2f|%5c)", r"(?:\.|%2e)"
_UNRESOLVED = re.compile(rf"{_SLASH}(?:{_DOT}{{1,2}}$|{_DOT}{{0,2}}{_SLASH})", re.IGNORECASE)
_EMPTY = (b"content-length", b"0")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Authorizer:
    """The ASGI part of forward auth without routing."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        roles: RoleModel,
        mint: Callable[[Principal], str] | None = None,
    ) -> None:
        """`mint` creates the internal assertion about a principal, if assertions are enabled."""
        self._verifier, self._roles, self._mint = verifier, roles, mint
        # By `id`, the cheapest key; the entry holds the principal, so that no other object can have its id.
        self._headers: dict[int, tuple[Principal, Headers]] = {}

    async def answer(self, scope: Scope, send: Send, *, request_id: str) -> None:
        """Respond to one request of any method; its body is never read."""
        options: Options | None = None
        try:
            options = parse_options(scope.get("query_string", b""))
            if scope["path"] != PATH and _UNRESOLVED.search(scope["path"]):
                raise NotFound
            if options.role is not None and options.role not in self._roles.includes:
                raise InvalidRequest(f"role= is unknown; expected one of {', '.join(sorted(self._roles.names))}")
            REQUEST.set(scope)
            # Without method and URL: those of this request are the proxy's, not those of the client's proof.
            credential = self._verifier.credential_of(scope["headers"])
            principal = await self._verifier.verify(credential, max_wait=KEY_WAIT_SECONDS)
            if options.tenant is not None or options.role is not None:
                self._admit(principal, options=options)
            cached = self._headers.get(id(principal))
            headers = cached[1].copy() if cached is not None else self._headers_of(principal)
            if self._mint is not None:
                headers.append(self._assertion(principal))
            status, body = 200, b""
        except ApiError as error:
            status, headers, body = refusal(error, options=options, request_id=request_id)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _admit(self, principal: Principal, *, options: Options) -> None:
        if options.tenant is not None and options.tenant != principal.tenant.slug:
            raise TenantMismatch
        if options.role is not None and not self._roles.permits(principal.roles, needed=options.role):
            raise InsufficientRole(options.role)

    def _headers_of(self, principal: Principal) -> Headers:
        """The headers of a principal, which are cached: a cached token has the same principal object."""
        if len(self._headers) >= MAX_CACHED_PRINCIPALS:
            self._headers.clear()
        cached = (principal, [*identity_headers(principal), _EMPTY])
        if size_of(principal) <= MAX_CACHED_PRINCIPAL_BYTES:
            self._headers[id(principal)] = cached
        return cached[1].copy()

    def _assertion(self, principal: Principal) -> tuple[bytes, bytes]:
        assert self._mint is not None  # noqa: S101 (`answer` checked it)
        try:
            return ASSERTION.lower().encode("ascii"), self._mint(principal).encode("ascii")
        except ValueError as error:  # expired within the leeway: no assertion may outlive the token
            raise TokenExpired from error


def is_authz(path: str) -> bool:
    """Whether a path is `/authz` or below it."""
    return path == PATH or path.startswith(_BELOW)


def refusal(error: ApiError, *, options: Options | None, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and problem of a refusal, adapted to the profile."""
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
    body = json.dumps(problem | {"status": status}).encode("ascii")
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, body
