"""`create_app`: the API as one FastAPI application, with a team's own routers beside the sample's.

Nothing is opened here: the lifespan opens the services, so importing this module and calling the factory touch
neither a database nor a realm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tenants_api import __version__
from tenants_api.api import docs, health, items, login, public, tenant, wellknown
from tenants_api.api.admin.plane import create_admin_app
from tenants_api.composition import open_services
from tenants_api.errors import InternalError, UriTooLong
from tenants_api.forward_auth.endpoint import PATH as AUTHZ_PATH
from tenants_api.forward_auth.route import ForwardAuth
from tenants_api.observability import logging
from tenants_api.settings import Settings, load_settings
from tenants_api.tokens.principal import SAMPLE_ROLES, RoleModel
from tenants_api.web.dependencies import check_roles
from tenants_api.web.middleware import RequestContext
from tenants_api.web.openapi import NO_TELEMETRY, document_security, operation_id
from tenants_api.web.problems import install_problem_handlers, problem_responses
from tenants_api.web.routing import StrictRoute, may_meet, read_strictly

TENANT_PATH = "/t/{tenant_slug}"
_ADMIN, _DOCS_FILES = "/admin", "/docs/static"
_OPEN = ("/", "/public", "/livez")


def create_app(
    settings: Settings | None = None,
    *,
    routers: Sequence[APIRouter] = (),
    roles: RoleModel = SAMPLE_ROLES,
    sample: bool = True,
) -> FastAPI:
    """The API.

    Args:
        settings: read from the environment if not given.
        routers: a team's own routes; they are served as they are and again below `/t/{tenant_slug}`. They become
            `StrictRoute`s, unless they have a route class of their own. None takes a path of this API.
        roles: the roles that the application knows, and what each includes.
        sample: whether the sample resource `/v1/items` is served.

    Logs go to stderr as the settings say, unless the process configured structlog before.

    Raises:
        SettingsError: a setting is wrong.
        ValueError: a team's route requires a role that `roles` does not know.
    """
    chosen = settings if settings is not None else load_settings()
    app = FastAPI(
        title="tenants-api",
        version=__version__,
        lifespan=_lifespan(chosen, roles=roles),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # the redirect would go to whatever host the request names
        generate_unique_id_function=_operation_id,
        responses=problem_responses(InternalError, UriTooLong),
    )
    app.router.route_class = StrictRoute
    for router in routers:
        check_roles(router.routes, roles=roles)
        read_strictly(router.routes)
    install_problem_handlers(app)
    own = [tenant.router, *([items.router] if sample else [])]
    _add_routes(app, own=own, team=routers, serves_docs=chosen.serves_docs)
    document_security(app, needed=_needs_token)
    app.state.roles = roles
    _add_middleware(app, settings=chosen)
    return app


def _operation_id(route: APIRoute) -> str:
    """Unique also for routes that stand a second time below the tenant's path."""
    return operation_id(route) + ("OfTenant" if route.path_format.startswith(f"{TENANT_PATH}/v1") else "")


def _needs_token(path: str) -> bool:
    return (
        path not in _OPEN
        and not path.startswith(("/problems", "/readyz", "/.well-known"))
        and not path.endswith("/login")
    )


def _add_routes(app: FastAPI, *, own: Sequence[APIRouter], team: Sequence[APIRouter], serves_docs: bool) -> None:
    """FastAPI matches route by route: `team` comes first, but those routers that could take a path of ours last."""
    others = (public.router, health.router, wellknown.router, login.router, docs.router)
    ours = [f"{prefix}{path}" for path in _paths_of(own) for prefix in ("", TENANT_PATH)]
    ours += [*_paths_of(others), *(f"{place}/{{rest:path}}" for place in (_ADMIN, _DOCS_FILES))]
    behind = [router for router in team if _may_take(router, places=ours)]
    _add_tenant_routes(app, [router for router in team if router not in behind])
    app.mount(_ADMIN, create_admin_app(), name="admin")
    _add_tenant_routes(app, own)
    for router in others:
        app.include_router(router)
    if serves_docs:
        docs.mount_static(app)
    _add_tenant_routes(app, behind)


def _paths_of(routers: Sequence[APIRouter]) -> list[str]:
    return [context.path or "" for router in routers for context in iter_route_contexts(router.routes)]


def _may_take(router: APIRouter, *, places: Sequence[str]) -> bool:
    """Whether a path that belongs to one of these places could match a route of the router."""
    if any(not isinstance(context.original_route, APIRoute) for context in iter_route_contexts(router.routes)):
        return True  # a mount, whose path is only a beginning
    theirs = [f"{prefix}{path}" for path in _paths_of([router]) for prefix in ("", TENANT_PATH)]
    return any(may_meet(path, place) for path in theirs for place in places)


def _add_tenant_routes(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    responses = problem_responses(*tenant.TOKEN_PROBLEMS)  # a team's routes meet the same guard
    for router in routers:
        app.include_router(router, responses=responses)
        app.include_router(router, prefix=TENANT_PATH, dependencies=[Depends(_tenant_in_path)], responses=responses)


async def _tenant_in_path(tenant_slug: Annotated[str, Path(max_length=63, examples=["acme"])]) -> str:
    """Declares the parameter; `current_principal` compares it with the token's tenant."""
    return tenant_slug


def _add_middleware(app: FastAPI, *, settings: Settings) -> None:
    """The last one added is the outermost."""
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),  # exact origins; never a pattern
            allow_credentials=False,  # a bearer token is no cookie
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key", "X-Request-ID"],
            expose_headers=["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"],
        )
    app.add_middleware(RequestContext, before=(AUTHZ_PATH, ForwardAuth()))
    if settings.trusted_proxies:
        # X-Forwarded-For from anybody else would forge the address that the login limits count by.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))


def _lifespan(settings: Settings, *, roles: RoleModel) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if not structlog.is_configured():
            # Served by a team's own process: without our redaction the defaults would print whatever they are given.
            logging.configure(format=settings.log_format, level=settings.log_level)
        async with open_services(settings, roles=roles) as services:
            app.state.services = services
            yield

    return lifespan
