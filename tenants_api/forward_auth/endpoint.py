"""`/authz` and everything below it: may this request pass, and as whom?

One ASGI callable. The decision comes from `Authorization` and the proxy's configured query alone: no method, no path,
no body and no `X-Forwarded-*` can be forged into a pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tenants_api.errors import ApiError, InvalidRequest, NotFound
from tenants_api.forward_auth.identity import ASSERTION, Headers, identity_headers
from tenants_api.forward_auth.options import Options, parse_options
from tenants_api.tokens.cache import size_of
from tenants_api.tokens.errors import InsufficientRole, TenantMismatch, TokenExpired
from tenants_api.tokens.principal import Principal, RoleModel
from tenants_api.tokens.verifier import TokenVerifier

PATH = "/authz"
MAX_TOLD = 4096  # principals whose headers are remembered, about a kilobyte each
MAX_TOLD_BYTES = 4096  # of such a principal: one that is full of text is told anew each time
KEY_WAIT_SECONDS = 0.15  # seconds for a realm; Envoy gives an authorizer 200 ms in all
_THROUGH_NGINX = frozenset({401, 403})  # auth_request takes any other refusal for a failure, and answers 500

_BELOW = f"{PATH}/"
# Empty and dot segments (RFC 3986 section 5.2.4), also percent-encoded twice or with backslashes. A proxy that hides
# `/authz` from the world resolves them: `/authz/..` is `/` for it, and would tell the world whether a token is good.
_SLASH, _DOT = r"(?:[/\\]|%2f|%5c)", r"(?:\.|%2e)"
_UNRESOLVED = re.compile(rf"{_SLASH}(?:{_DOT}{{1,2}}$|{_DOT}{{0,2}}{_SLASH})", re.IGNORECASE)
_EMPTY = (b"content-length", b"0")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Authorizer:
    """Decides. `answer` is the whole of forward auth but the routing."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        roles: RoleModel,
        mint: Callable[[Principal], str] | None = None,
    ) -> None:
        """`mint` makes the internal assertion about a caller, where it is turned on."""
        self._verifier, self._roles, self._mint = verifier, roles, mint
        # By identity, which costs nothing to look up; the principal is kept with it, so no other can have its id.
        self._told: dict[int, tuple[Principal, Headers]] = {}

    async def answer(self, scope: Scope, send: Send, *, request_id: str) -> None:
        """Answer one request, whatever its method; its body is never read."""
        options: Options | None = None
        try:
            options = parse_options(scope.get("query_string", b""))
            if scope["path"] != PATH and _UNRESOLVED.search(scope["path"]):
                raise NotFound
            if options.role is not None and options.role not in self._roles.includes:
                raise InvalidRequest(f"role= names none of the roles {', '.join(sorted(self._roles.names))}")
            # Neither method nor URL: those of this request are the proxy's, not those that a sender proves.
            credential = self._verifier.credential_of(scope["headers"])
            principal = await self._verifier.verify(credential, patience=KEY_WAIT_SECONDS)
            if options.tenant is not None or options.role is not None:
                self._admit(principal, options=options)
            told = self._told.get(id(principal))
            headers = told[1].copy() if told is not None else self._tell(principal)
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

    def _tell(self, principal: Principal) -> Headers:
        """What says who calls, made once: a token that is known gives the same principal again."""
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        told = (principal, [*identity_headers(principal), _EMPTY])
        if size_of(principal) <= MAX_TOLD_BYTES:
            self._told[id(principal)] = told
        return told[1].copy()

    def _assertion(self, principal: Principal) -> tuple[bytes, bytes]:
        assert self._mint is not None  # noqa: S101 (asked before)
        try:
            return ASSERTION.lower().encode("ascii"), self._mint(principal).encode("ascii")
        except ValueError as error:  # expired within the leeway: no assertion may outlive the token
            raise TokenExpired from error


def is_authz(path: str) -> bool:
    """Whether a path is forward auth's: `/authz` itself or anything below it."""
    return path == PATH or path.startswith(_BELOW)


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
    body = json.dumps(problem | {"status": status}).encode("ascii")
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, body
