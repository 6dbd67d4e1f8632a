"""The reading endpoints of a realm: info, discovery, certs, userinfo. A disabled realm answers them all the same."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tenants_api.devrealms.discovery import discovery_document, realm_info
from tenants_api.devrealms.realm import DevRealm

_NO_CACHE = {"Cache-Control": "no-cache"}
_NO_STORE = {"Cache-Control": "no-cache, must-revalidate, no-transform, no-store"}
_PROFILE = ("email_verified", "name", "preferred_username", "given_name", "family_name", "email")


async def info(realm: DevRealm, request: Request) -> Response:
    return JSONResponse(realm_info(realm), headers=_NO_CACHE)


async def discovery(realm: DevRealm, request: Request) -> Response:
    return JSONResponse(discovery_document(realm), headers=_NO_STORE)


async def certs(realm: DevRealm, request: Request) -> Response:
    """The key set; no ETag and `no-cache`, as observed."""
    listed = [] if realm.faults.empty_keys else realm.keys.public_set()
    return JSONResponse({"keys": [*listed, *realm.faults.extra_keys]}, headers=_NO_CACHE)


async def userinfo(realm: DevRealm, request: Request) -> Response:
    """The profile of an access token's user. Refusals have an empty body; the header tells."""
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    claims = realm.keys.decode(raw.strip()) if scheme.lower() == "bearer" else None
    refusal = _refusal(realm, claims)
    if refusal is not None:
        return refusal
    names = ("sub", *_PROFILE)
    return JSONResponse({name: claims[name] for name in names if claims and name in claims}, headers=_NO_CACHE)


def _refusal(realm: DevRealm, claims: dict[str, Any] | None) -> Response | None:
    if claims is None or not _is_good(realm, claims):
        return _challenge(realm, 401, "invalid_token", "Token verification failed")
    if "sub" not in claims:
        return _challenge(realm, 401, "invalid_token", "Lightweight access token not allowed for userinfo endpoint")
    if "openid" not in str(claims.get("scope", "")).split():
        return _challenge(realm, 403, "insufficient_scope", "Missing openid scope")
    return None


def _is_good(realm: DevRealm, claims: dict[str, Any]) -> bool:
    """An access token of this realm, in time, not stale, of a session that did not end."""
    return (
        claims.get("iss") == realm.issuer
        and claims.get("typ") == "Bearer"
        and claims.get("exp", 0) > realm.clock()
        and claims.get("iat", 0) >= realm.not_before
        and realm.sessions.is_live(str(claims.get("sid", "")))
    )


def _challenge(realm: DevRealm, status: int, error: str, description: str) -> Response:
    challenge = f'Bearer realm="{realm.name}", error="{error}", error_description="{description}"'
    return Response(status_code=status, headers={"WWW-Authenticate": challenge})
