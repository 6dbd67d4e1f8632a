"""The admin plane: an application of its own, with its own contract, mounted at /admin."""

from __future__ import annotations

from functools import cache

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from tenants_api import __version__
from tenants_api.api import docs
from tenants_api.api.admin import (
    api_keys,
    audit,
    checks,
    keys,
    realms,
    rejections,
    roles,
    status,
    tenants,
    tokens,
    transitions,
)
from tenants_api.api.admin.contract import document_writes
from tenants_api.api.admin.net import ExceptionBoundary
from tenants_api.api.dependencies import ServicesDep
from tenants_api.api.operations import NO_TELEMETRY, document_security, operation_id
from tenants_api.api.problems import install_problem_handlers, problem_responses
from tenants_api.errors import NotFound, RateLimited, UriTooLong
from tenants_api.registry.errors import RegistryUnavailable
from tenants_api.verification.errors import (
    InsufficientRole,
    InvalidToken,
    KeysUnavailable,
    MalformedCredentials,
    MissingToken,
    TokenExpired,
)

_PROBLEMS = (MalformedCredentials, MissingToken, InvalidToken, TokenExpired, InsufficientRole, KeysUnavailable)
_ROUTERS = (tenants, transitions, realms, roles, checks, keys, rejections, tokens, api_keys, audit, status)


@cache
def create_admin_app() -> FastAPI:
    """The admin plane. It keeps nothing: the services come in the scope, so one serves every application here."""
    app = FastAPI(
        title="tenants-api admin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # the redirect would go to whatever host the request names
        generate_unique_id_function=operation_id,
        responses=problem_responses(*_PROBLEMS, UriTooLong, RateLimited, RegistryUnavailable),
        servers=[{"url": "/admin"}],
        root_path_in_servers=False,
    )
    install_problem_handlers(app)
    for part in _ROUTERS:
        app.include_router(part.router)
    _add_docs(app)
    document_security(app, needed=lambda path: True)
    document_writes(app)
    app.add_middleware(ExceptionBoundary)
    return app


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def admin_docs(services: ServicesDep) -> HTMLResponse:
        _must_serve(services)
        return docs.page(title="tenants-api admin", openapi="/admin/openapi.json")

    @app.get("/openapi.json", include_in_schema=False)
    async def admin_openapi(services: ServicesDep) -> JSONResponse:
        _must_serve(services)
        return JSONResponse(app.openapi())


def _must_serve(services: ServicesDep) -> None:
    if not services.settings.serves_docs:
        raise NotFound
