"""The admin plane: an application with an OpenAPI document of its own, mounted at /admin."""

from __future__ import annotations

from functools import cache
from typing import Any

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
from tenants_api.api.admin.paths import MountPath
from tenants_api.errors import (
    ApiError,
    BodyTooLarge,
    RateLimited,
    UnsupportedMediaType,
    UriTooLong,
    ValidationFailed,
)
from tenants_api.registry.errors import IdempotencyInFlight, IdempotencyMismatch, RegistryUnavailable
from tenants_api.tokens.errors import (
    InsufficientRole,
    InvalidToken,
    KeysUnavailable,
    MalformedCredentials,
    MissingToken,
    TokenExpired,
)
from tenants_api.web.admin_boundary import ExceptionBoundary
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.openapi import NO_TELEMETRY, document_security, operation_id
from tenants_api.web.preconditions import HEADER
from tenants_api.web.problems import install_problem_handlers, problem_responses

PROBLEM = "application/problem+json"
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A unique name for this request: a repetition within 24 hours gets the stored response",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def document_writes(app: FastAPI) -> None:
    """Document the Idempotency-Key of POSTs, and the problems of request bodies that a route does not document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for path in document["paths"].values():
            for method, operation in path.items():
                if method == "post":
                    _add_key(operation)
                if method in ("post", "put", "patch"):
                    _add_problems(operation, repeatable=method == "post")
                _only_problems(operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _add_key(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if _KEY not in parameters:
        parameters.append(_KEY)


def _add_problems(operation: dict[str, Any], *, repeatable: bool) -> None:
    repeats = (IdempotencyInFlight, IdempotencyMismatch) if repeatable else ()
    for code, response in _shown(BodyTooLarge, UnsupportedMediaType, ValidationFailed, *repeats).items():
        operation["responses"].setdefault(code, response)


def _only_problems(operation: dict[str, Any]) -> None:
    """Remove the media type that FastAPI adds to every response with a model: errors are problems only."""
    for code, response in operation["responses"].items():
        if code >= "400":
            response["content"] = {PROBLEM: response["content"][PROBLEM]}


def _shown(*errors: type[ApiError]) -> dict[str, dict[str, Any]]:
    found = problem_responses(*errors)
    return {
        str(status): {name: value for name, value in response.items() if name != "model"}
        for status, response in found.items()
    }


_PROBLEMS = (MalformedCredentials, MissingToken, InvalidToken, TokenExpired, InsufficientRole, KeysUnavailable)
_ROUTERS = (tenants, transitions, realms, roles, checks, keys, rejections, tokens, api_keys, audit, status)


@cache
def create_admin_app() -> FastAPI:
    """The admin plane. It has no state, so one serves every application: the services come in the scope."""
    app = FastAPI(
        title="tenants-api admin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # the redirect would go to the host that the request names
        generate_unique_id_function=operation_id,
        responses=problem_responses(*_PROBLEMS, UriTooLong, RateLimited, RegistryUnavailable),
        servers=[{"url": "/admin"}],  # of the printed document; a served one has the path of the mount
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
    async def admin_docs(services: ServicesDep, mount: MountPath) -> HTMLResponse:
        docs.must_serve(services)
        return docs.page(title="tenants-api admin", root=mount)

    @app.get("/openapi.json", include_in_schema=False)
    async def admin_openapi(services: ServicesDep, mount: MountPath) -> JSONResponse:
        docs.must_serve(services)
        return JSONResponse({**app.openapi(), "servers": [{"url": mount or "/"}]})

    docs.mount_static(app)
