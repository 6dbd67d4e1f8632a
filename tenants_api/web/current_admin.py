"""Authentication in the admin plane: an admin API key or a token of the platform realm, never a tenant's token.

No `from __future__ import annotations`: FastAPI cannot resolve string annotations of a callable object.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import structlog
from fastapi import Depends, Request

from tenants_api.composition import PLATFORM_ROLE, Services
from tenants_api.control.admin_keys import PREFIX, find_admin_key
from tenants_api.observability.logging import request_id_in
from tenants_api.registry.values import SCOPES, Actor, Change
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.tokens.errors import InsufficientRole, InvalidToken, Refusal
from tenants_api.web.authentication import credential_of
from tenants_api.web.dependencies import get_services

BOOTSTRAP = Actor("api_key", "bootstrap")
MAX_ACTOR_CHARACTERS = 600  # of an actor's id in the audit log
_CALLER = "tenants_api.admin_caller"
log = structlog.get_logger("tenants_api.admin")


@dataclass(frozen=True, slots=True)
class AdminCaller:
    """An authenticated admin with the scopes of the key or role, and the request id."""

    actor: Actor
    scopes: frozenset[str]
    request_id: str

    def change(self, reason: str | None = None) -> Change:
        """The actor, request and reason of a change, for the audit log."""
        return Change(self.actor, self.request_id or None, reason)

    def must_have(self, *scopes: str) -> None:
        """Raises InsufficientRole, naming the first scope that is missing."""
        for scope in scopes:
            if scope not in self.scopes:
                raise InsufficientRole(scope)


async def current_admin(request: Request) -> AdminCaller:
    """The caller; every route of the admin plane uses this dependency through a `Permission`.

    Raises:
        MissingToken, MalformedCredentials, UriTooLong
        InvalidToken: neither a valid admin key nor a token of the platform realm.
        TokenExpired, KeysUnavailable: of the platform realm.
        InsufficientRole: a platform user without the role `platform-admin`.
    """
    caller: AdminCaller | None = request.scope.get(_CALLER)
    if caller is None:
        services = get_services(request)
        actor, scopes = await _identify(credential_of(request.scope, services=services), services=services)
        caller = request.scope[_CALLER] = AdminCaller(actor, frozenset(scopes), request_id_in(request.scope))
    return caller


@dataclass(frozen=True)
class Permission:
    """A dependency that returns the caller, and refuses one without this scope."""

    scope: str

    async def __call__(self, caller: Annotated[AdminCaller, Depends(current_admin)]) -> AdminCaller:
        caller.must_have(self.scope)
        return caller


Reader = Annotated[AdminCaller, Depends(Permission("tenants:read"))]
Writer = Annotated[AdminCaller, Depends(Permission("tenants:write"))]
KeyWriter = Annotated[AdminCaller, Depends(Permission("keys:write"))]
Auditor = Annotated[AdminCaller, Depends(Permission("audit:read"))]


async def _identify(credential: Credential, *, services: Services) -> tuple[Actor, Iterable[str]]:
    if credential.scheme == BEARER:
        if _is_bootstrap(credential.token, services=services):
            return BOOTSTRAP, SCOPES
        if credential.token.startswith(f"{PREFIX}_".encode()):
            return await _by_key(credential.token.decode("latin-1"), services=services)
    return await _by_platform_token(credential, services=services)


def _is_bootstrap(presented: bytes, *, services: Services) -> bool:
    key = services.settings.admin_api_key
    if key is None:
        return False
    # Digests are bytes of one length: the time of the comparison reveals nothing, and no text makes it raise.
    return hmac.compare_digest(_digest(presented), _digest(key.get_secret_value().encode()))


def _digest(presented: bytes) -> bytes:
    return hashlib.sha256(presented).digest()


async def _by_key(raw: str, *, services: Services) -> tuple[Actor, Iterable[str]]:
    async with services.database.read() as session:
        row = await find_admin_key(session, presented=raw, now=datetime.fromtimestamp(services.clocks.wall(), UTC))
    if row is None:
        _refuse("unknown_admin_key")
    return Actor("api_key", str(row.id)), row.scopes


async def _by_platform_token(credential: Credential, *, services: Services) -> tuple[Actor, Iterable[str]]:
    if services.platform is None:
        _refuse("no_platform_realm")
    # This verifier has only the platform realm: a tenant's token has an unknown issuer.
    principal = await services.platform.verify(credential)
    if PLATFORM_ROLE not in principal.roles:
        raise InsufficientRole(PLATFORM_ROLE)
    return Actor("platform_user", f"{principal.issuer}#{principal.subject}"[:MAX_ACTOR_CHARACTERS]), SCOPES


def _refuse(reason: str) -> NoReturn:
    log.info("admin_refused", reason=reason)
    raise InvalidToken(Refusal("admin", reason))
