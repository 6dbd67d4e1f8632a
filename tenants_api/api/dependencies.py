"""What a route may ask for: services, sessions, the principal, a role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.api.authentication import PRINCIPAL, authenticate, bearer_token
from tenants_api.api.problems import REQUEST_ID
from tenants_api.api.resources import add_metadata
from tenants_api.verification.errors import InsufficientRole, TenantMismatch, TokenError
from tenants_api.verification.principal import Principal
from tenants_api.wiring import Services


def get_services(request: Request) -> Services:
    """The services that the application's lifespan opened."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


async def current_principal(request: Request) -> Principal:
    """Who calls. Override this one function in tests: everything that asks for a principal or a role passes here.

    Raises:
        MissingToken, MalformedCredentials, InvalidToken, TokenExpired, KeysUnavailable, TenantSuspended
        TenantMismatch: the path names another tenant than the token's, whether that one exists or not.
    """
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None:
        services = get_services(request)
        try:
            principal = await authenticate(bearer_token(request.scope), verifier=services.verifier, services=services)
        except TokenError as refused:
            add_metadata(refused, services=services, slug=request.path_params.get("tenant_slug"))
            raise
        request.scope[PRINCIPAL] = principal
    named = request.path_params.get("tenant_slug")
    if named is not None and named != principal.tenant.slug:
        raise TenantMismatch
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def requires(role: str) -> Any:
    """A dependency that lets only principals with this role pass (or one that includes it) and gives the principal.

    `Annotated[Principal, requires("editor")]` as a parameter, or `dependencies=[requires("editor")]` on a route.
    """

    async def permitted(request: Request, principal: CurrentPrincipal) -> Principal:
        if not get_services(request).roles.permits(principal.roles, needed=role):
            raise InsufficientRole(role)
        return principal

    return Depends(permitted)


async def _read_session(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    async with services.database.read() as session:
        yield session


async def _tenant_read_session(services: ServicesDep, principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    async with services.database.read(tenant_id=principal.tenant.id) as session:
        yield session


async def _tenant_write_session(services: ServicesDep, principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    async with services.database.begin(tenant_id=principal.tenant.id) as session:
        yield session


# scope="function": the transaction ends before the answer is sent, so a commit that fails is a failed request.
ReadSession = Annotated[AsyncSession, Depends(_read_session, scope="function")]
TenantReadSession = Annotated[AsyncSession, Depends(_tenant_read_session, scope="function")]
TenantWriteSession = Annotated[AsyncSession, Depends(_tenant_write_session, scope="function")]


def request_id(request: Request) -> str:
    """The id that answers and logs of this request carry."""
    found: str = request.scope.get(REQUEST_ID, "")
    return found
