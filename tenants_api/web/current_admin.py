"""Who may use the admin plane: an admin API key, or a token of the platform realm. A tenant's token never.

Annotations here are no strings: FastAPI cannot resolve those of an object that is called like a function.
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
from tenants_api.registry.values import SCOPES, Actor, Change
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.tokens.errors import InsufficientRole, InvalidToken, Refusal
from tenants_api.web.authentication import credential_of
from tenants_api.web.dependencies import get_services, request_id

BOOTSTRAP = Actor("api_key", "bootstrap")
MAX_ACTOR = 600  # characters that the audit trail keeps of an actor's id
_CALLER = "tenants_api.admin_caller"
log = structlog.get_logger("tenants_api.admin")


@dataclass(frozen=True, slots=True)
class AdminCaller:
    """An authenticated admin, what the key or role permits, and the request that it acts in."""

    actor: Actor
    scopes: frozenset[str]
    request_id: str

    def change(self, reason: str | None = None) -> Change:
        """What the audit trail keeps beside a change of this caller."""
        return Change(self.actor, self.request_id or None, reason)

    def must_have(self, *scopes: str) -> None:
        """Raises InsufficientRole, naming the first scope that is missing."""
        for scope in scopes:
            if scope not in self.scopes:
                raise InsufficientRole(scope)


async def current_admin(request: Request) -> AdminCaller:
    """Who calls; every route of the admin plane passes here, by way of a `Permission`.

    Raises:
        MissingToken, MalformedCredentials, UriTooLong
        InvalidToken: no admin key of ours, and no token of the platform realm.
        TokenExpired, KeysUnavailable: of the platform realm.
        InsufficientRole: a platform user without the role `platform-admin`.
    """
    caller: AdminCaller | None = request.scope.get(_CALLER)
    if caller is None:
        services = get_services(request)
        actor, scopes = await _identify(credential_of(request.scope, services=services), services=services)
        caller = request.scope[_CALLER] = AdminCaller(actor, frozenset(scopes), request_id(request))
    return caller


@dataclass(frozen=True)
class Permission:
    """A dependency that lets only callers with this scope pass, and gives the caller."""

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
    # Digests have one length and are bytes: nothing leaks through the time, and no text makes the comparison raise.
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
    # Its look-up knows the platform realm and no other, so a tenant's token is of an unknown issuer here.
    principal = await services.platform.verify(credential)
    if PLATFORM_ROLE not in principal.roles:
        raise InsufficientRole(PLATFORM_ROLE)
    return Actor("platform_user", f"{principal.issuer}#{principal.subject}"[:MAX_ACTOR]), SCOPES


def _refuse(reason: str) -> NoReturn:
    log.info("admin_refused", reason=reason)
    raise InvalidToken(Refusal("admin", reason))
