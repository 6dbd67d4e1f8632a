"""`create_app`: the API as one FastAPI application, with your application's routers.

The lifespan opens the services; importing this module and calling the factory need neither a database nor a realm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
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
from tenants_api.tokens.principal import RoleModel, roles_of_process
from tenants_api.web.dependencies import check_roles
from tenants_api.web.middleware import RequestContext
from tenants_api.web.openapi import NO_TELEMETRY, document_security, operation_id
from tenants_api.web.problems import install_problem_handlers, problem_responses
from tenants_api.web.routing import StrictRoute, may_meet, read_strictly

TENANT_PATH = "/t/{tenant_slug}"
_ADMIN, _DOCS_FILES = "/admin", "/docs/static"
_OPEN = ("/", "/public", "/livez")
# Request headers of this API, of tracing in browsers (W3C Trace Context) and of Swagger UI.
_CORS_HEADERS = (
    *("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-ID"),
    *("Traceparent", "Tracestate", "X-Requested-With"),
)
_OTHERS = (health.router, wellknown.router, login.router, docs.router, docs.tenants)


def create_app(
    settings: Settings | None = None,
    *,
    routers: Sequence[APIRouter] = (),
    roles: RoleModel | None = None,
    sample: bool = False,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
    **fastapi: Any,
) -> FastAPI:
    """Create the API.

    Args:
        settings: read from the environment if not given.
        routers: your application's routes; they are served as they are and again below `/t/{tenant_slug}`. They become
            `StrictRoute`s, unless they have a route class of their own. Paths of this API take precedence.
        roles: the roles of your application, and what each includes; those of `TENANTS_ROLES` if not given.
        sample: whether to serve the sample routes too, `/v1/items` and `/public`.
        lifespan: of your application; it runs inside of this API's, with the services open.
        fastapi: further arguments of `FastAPI`, such as `title`, `version`, `description` and `middleware`. Your
            middleware runs inside of this API's.

    Configures logs to stderr as the settings say, unless structlog is configured already.

    Raises:
        SettingsError: a setting is wrong.
        TypeError: `fastapi` has an argument that this API sets itself.
        ValueError: a route requires a role that does not exist, or `TENANTS_ROLES` differs from `roles`.
    """
    chosen = settings if settings is not None else load_settings()
    model = roles_of_process(roles, in_settings=chosen.roles)
    app = FastAPI(
        **{"title": "tenants-api", "version": __version__, **fastapi},
        lifespan=_lifespan(chosen, roles=model, inner=lifespan),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # it would redirect to the Host header of the request
        generate_unique_id_function=_operation_id,
        responses=problem_responses(InternalError, UriTooLong),
    )
    app.router.route_class = StrictRoute
    for router in routers:
        check_roles(router.routes, roles=model)
        read_strictly(router.routes)
    install_problem_handlers(app)
    own = [tenant.router, *([items.router] if sample else [])]
    others = (public.router, public.problems, *((public.sample,) if sample else ()), *_OTHERS)
    _add_routes(app, own=own, others=others, routers=routers)
    document_security(app, needed=_needs_token)
    app.state.roles = model
    _add_middleware(app, settings=chosen)
    return app


def _operation_id(route: APIRoute) -> str:
    """An operation id that is unique also for the routes below the tenant's path."""
    return operation_id(route) + ("OfTenant" if route.path_format.startswith(f"{TENANT_PATH}/v1") else "")


def _needs_token(path: str) -> bool:
    return (
        path not in _OPEN
        and not path.startswith(("/problems", "/readyz", "/.well-known"))
        and not path.endswith("/login")
    )


def _add_routes(
    app: FastAPI, *, own: Sequence[APIRouter], others: Sequence[APIRouter], routers: Sequence[APIRouter]
) -> None:
    """Add `routers` first, because FastAPI matches in order; those that could match a path of this API come last."""
    paths = [f"{prefix}{path}" for path in _paths_of(own) for prefix in ("", TENANT_PATH)]
    paths += [*_paths_of(others), *(f"{mount}/{{rest:path}}" for mount in (_ADMIN, _DOCS_FILES))]
    last = [router for router in routers if _may_match(router, paths=paths)]
    _add_tenant_routes(app, [router for router in routers if router not in last])
    app.mount(_ADMIN, create_admin_app(), name="admin")
    _add_tenant_routes(app, own)
    for router in others:
        app.include_router(router)
    docs.mount_static(app)
    _add_tenant_routes(app, last)


def _paths_of(routers: Sequence[APIRouter]) -> list[str]:
    return [context.path or "" for router in routers for context in iter_route_contexts(router.routes)]


def _may_match(router: APIRouter, *, paths: Sequence[str]) -> bool:
    """Whether a route of the router could match one of these paths."""
    if any(not isinstance(context.original_route, APIRoute) for context in iter_route_contexts(router.routes)):
        return True  # a mount, whose path is only a beginning
    routed = [f"{prefix}{path}" for path in _paths_of([router]) for prefix in ("", TENANT_PATH)]
    return any(may_meet(one, path) for one in routed for path in paths)


def _add_tenant_routes(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    responses = problem_responses(*tenant.TOKEN_PROBLEMS)
    for router in routers:
        app.include_router(router, responses=responses)
        app.include_router(router, prefix=TENANT_PATH, dependencies=[Depends(_tenant_in_path)], responses=responses)


async def _tenant_in_path(tenant_slug: Annotated[str, Path(max_length=63, examples=["acme"])]) -> str:
    """Declares the parameter; `current_principal` compares it with the token's tenant."""
    return tenant_slug


def _add_middleware(app: FastAPI, *, settings: Settings) -> None:
    # The last one added is the outermost.
    around = {"around": partial(_with_cors, settings=settings)} if settings.cors_origins else {}
    app.add_middleware(RequestContext, before=(AUTHZ_PATH, ForwardAuth()), **around)
    if settings.trusted_proxies:
        # X-Forwarded-For from other clients would forge the address that the login limits use.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))


def _with_cors(app: ASGIApp, *, settings: Settings) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=list(settings.cors_origins),  # exact origins; never a pattern
        allow_credentials=False,  # no cookies: requests carry a bearer token
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[*_CORS_HEADERS, *settings.cors_headers],
        expose_headers=["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"],
    )


def _lifespan(settings: Settings, *, roles: RoleModel, inner: Callable[[FastAPI], Any] | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any] | None]:
        if not structlog.is_configured():
            # structlog's defaults would log secrets without redaction.
            logging.configure(format=settings.log_format, level=settings.log_level)
        async with open_services(settings, roles=roles) as services:
            app.state.services = services
            async with inner(app) if inner is not None else nullcontext() as state:
                yield state

    return lifespan
