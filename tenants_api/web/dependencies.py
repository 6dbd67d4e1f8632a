"""Dependencies of routes: services, sessions, the principal, a required role, the page of a list."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from fastapi.requests import HTTPConnection
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import BaseRoute

from tenants_api.composition import Services
from tenants_api.control.commands import Commands
from tenants_api.database.pagination import PageRequest
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import TenantRow, TenantState
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import InsufficientRole, InvalidToken, Refusal, TenantMismatch, TokenError
from tenants_api.tokens.principal import Principal, RoleModel
from tenants_api.web.authentication import PRINCIPAL, SERVICES, credential_of, services_of

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def resource_metadata(services: Services, *, slug: str) -> dict[str, Any] | None:
    """The metadata document of this tenant (RFC 9728 section 2); None unless it is published."""
    tenant = _published(services, slug=slug)
    if tenant is None:
        return None
    realms = [realm for realm in tenant.realms if realm.enabled]
    organizations = {f"organization:{realm.organization}" for realm in realms if realm.organization}
    return {
        "resource": f"{_public_url(services)}/t/{tenant.slug}",
        "authorization_servers": list(dict.fromkeys(realm.issuer for realm in realms)),
        # Where tenants share a realm, the token must name the organization, which Keycloak adds for this scope.
        "scopes_supported": ["openid", *sorted(organizations)],
        "bearer_methods_supported": ["header"],
        "resource_name": tenant.name,
    }


def metadata_url(services: Services, *, slug: str) -> str:
    """The document's URL: the well-known part is between host and path (RFC 9728 section 3.1)."""
    parts = urlsplit(_public_url(services))
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}/t/{slug}"


def add_metadata(refused: TokenError, *, services: Services, slug: str | None) -> None:
    """Add the metadata's URL to a 401 on the path of a tenant that publishes it (RFC 9728 section 5.1)."""
    challenge = refused.headers.get("WWW-Authenticate")
    if refused.status == 401 and challenge and slug is not None and _published(services, slug=slug) is not None:
        url = metadata_url(services, slug=slug)
        refused.headers = {**refused.headers, "WWW-Authenticate": f'{challenge}, resource_metadata="{url}"'}


def _published(services: Services, *, slug: str) -> TenantRow | None:
    tenant = services.replica.tenant_by_slug(slug)
    if tenant is None or not tenant.resource_metadata or tenant.state != TenantState.ACTIVE:
        return None
    return tenant if services.settings.public_url and any(realm.enabled for realm in tenant.realms) else None


def _public_url(services: Services) -> str:
    return (services.settings.public_url or "").rstrip("/")


REQUIRED_ROLE = "tenants_api_required_role"


def get_services(connection: HTTPConnection) -> Services:
    """The services that the application's lifespan opened.

    Raises:
        RuntimeError: the lifespan did not run, or the application is not installed.
    """
    services = services_of(connection.scope)
    if services is None:
        if SERVICES not in connection.scope:
            get_roles(connection)
        raise RuntimeError("the services are not open: run the lifespan, or enter tenancy.running() in yours")
    return services


def get_roles(connection: HTTPConnection) -> RoleModel:
    """The roles of the application; needs no running service.

    Raises:
        RuntimeError: the application is not installed.
    """
    roles: RoleModel | None = getattr(connection.app.state, "roles", None)
    if roles is None:
        title = getattr(connection.app, "title", type(connection.app).__name__)
        raise RuntimeError(
            f"the application {title!r} does not know its Tenancy: call tenancy.install(app) when all its routes and "
            "mounts are there"
        )
    return roles


ServicesDep = Annotated[Services, Depends(get_services)]


def get_commands(services: ServicesDep) -> Commands:
    """The commands that change the registry."""
    return services.commands


CommandsDep = Annotated[Commands, Depends(get_commands)]


async def current_principal(connection: HTTPConnection) -> Principal:
    """The caller. Override this function in tests: every dependency on a principal or a role uses it.

    Raises:
        MissingToken, MalformedCredentials, InvalidToken, TokenExpired, KeysUnavailable, TenantSuspended
        TenantMismatch: the tenant in the path is not the token's, whether it exists or not.
    """
    return await principal_of(connection)


async def principal_of(connection: HTTPConnection, *, presented: Credential | None = None) -> Principal:
    """The principal of a request or WebSocket; of `presented`, if that is given. Raises as `current_principal`.

    The value of `CurrentPrincipal` for a route that calls instead of declaring it: FastAPI takes longer to resolve a
    dependency than this function for a cached token. `tenants_api.testing.as_principal` overrides both.
    """
    principal: Principal | None = connection.scope.get(PRINCIPAL)
    named = connection.path_params.get("tenant_slug")
    if principal is None or presented is not None:
        services = get_services(connection)
        try:
            credential = presented or credential_of(connection.scope, services=services)
            principal = await services.verifier.verify(credential, tenant=named)
        except TokenError as refused:
            add_metadata(refused, services=services, slug=named)
            raise
        connection.scope[PRINCIPAL] = principal
    if named is not None and named != principal.tenant.slug:
        raise TenantMismatch
    return principal


# With an explicit scope FastAPI does not test at each request whether the function is a generator.
CurrentPrincipal = Annotated[Principal, Depends(current_principal, scope="request")]


def requires(role: str) -> Any:
    """A dependency that returns the principal, and refuses one without this role or one that includes it.

    `Annotated[Principal, requires("editor")]` as a parameter, or `dependencies=[requires("editor")]` on a route.
    """

    async def permitted(connection: HTTPConnection, principal: CurrentPrincipal) -> Principal:
        if not get_roles(connection).permits(principal.roles, needed=role):
            raise InsufficientRole(role)
        return principal

    setattr(permitted, REQUIRED_ROLE, role)
    return Depends(permitted)


def check_roles(routes: Sequence[BaseRoute], *, roles: RoleModel) -> None:
    """Check that every role that a route requires exists: a misspelt one would refuse every caller.

    Raises:
        ValueError: a role is unknown; the message names the route and the known roles.
    """
    for route in iter_route_contexts(routes):
        for role in _required_roles(getattr(route, "dependant", None)):
            if role not in roles.names:
                known = ", ".join(sorted(roles.names))
                raise ValueError(f"{route.path} requires the role {role!r}; expected one of {known}")


def _required_roles(dependant: Dependant | None) -> Iterator[str]:
    if dependant is None:
        return
    role = getattr(dependant.call, REQUIRED_ROLE, None)
    if role is not None:
        yield role
    for inner in dependant.dependencies:
        yield from _required_roles(inner)


def depends_on(dependant: Dependant, call: Callable[..., Any]) -> bool:
    """Whether a route depends on this function, also through other dependencies."""
    return dependant.call is call or any(depends_on(inner, call) for inner in dependant.dependencies)


def page_request(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    after: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> PageRequest:
    """The page of a list that a request selects."""
    return PageRequest(limit=limit, after=after, before=before)


PageDep = Annotated[PageRequest, Depends(page_request)]


async def _read_session(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    async with services.database.read() as session:
        yield session


async def _tenant_read_session(services: ServicesDep, principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    async with services.database.read(tenant_id=principal.tenant.id) as session:
        yield session


async def _tenant_write_session(services: ServicesDep, principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    try:
        async with services.database.begin(tenant_id=principal.tenant.id) as session:
            yield session
    except IntegrityError as error:
        if await _is_purged(services, tenant_id=principal.tenant.id):
            refusal = Refusal("tenant", "tenant_purged", expected="a registered tenant", found=principal.tenant.slug)
            raise InvalidToken(refusal) from error
        raise


async def _is_purged(services: Services, *, tenant_id: uuid.UUID) -> bool:
    """Whether the tenant was purged after this request's token was verified."""
    async with services.database.read() as session:
        return await session.get(Tenant, tenant_id) is None


# scope="function": the transaction ends before the response is sent, so that a failed commit fails the request.
ReadSession = Annotated[AsyncSession, Depends(_read_session, scope="function")]
TenantReadSession = Annotated[AsyncSession, Depends(_tenant_read_session, scope="function")]
TenantWriteSession = Annotated[AsyncSession, Depends(_tenant_write_session, scope="function")]
