"""Errors as problems (RFC 9457), which never contain exception texts, input or bodies of realms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import responses
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from tenants_api.database.errors import StorageError, cause_of
from tenants_api.errors import (
    ApiError,
    FieldError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
    ValidationFailed,
    without_prefix,
)
from tenants_api.observability.logging import request_id_in
from tenants_api.registry.errors import RegistryUnavailable
from tenants_api.schemas.base import Problem

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_OF_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidRequest,
    404: NotFound,
    405: MethodNotAllowed,
    415: UnsupportedMediaType,
    422: ValidationFailed,
}
_OF_DATABASE: tuple[type[Exception], ...] = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    DataError,
    InternalError,
    ProgrammingError,
    StorageError,
)
# SQLSTATEs of a database that refuses a correct statement: read-only (25006), or on another schema revision (42P01 no
# table, 42703 no column).
_DATABASE_UNAVAILABLE = frozenset({"25006", "42P01", "42703"})
log = structlog.get_logger("tenants_api.api")


def problem_response(error: ApiError, *, request_id: str) -> Response:
    """The response to a request that failed with this error."""
    return _rendered(error.as_problem(request_id=request_id), headers=error.headers)


def _rendered(body: Mapping[str, Any], *, headers: Mapping[str, str] | None) -> Response:
    content = json.dumps(body, ensure_ascii=True).encode()
    return Response(content, status_code=body["status"], headers=headers, media_type="application/problem+json")


def install_problem_handlers(app: Starlette, *, kinds: Sequence[type[Exception]] | None = None) -> None:
    """Render all errors of the application, or only `kinds`; `RequestContext` handles unexpected exceptions."""

    async def api_error(request: Request, error: Exception) -> Response:
        request_id = request_id_in(request.scope)
        if isinstance(error, HTTPException) and error.status_code not in _OF_STATUS:
            return _stock_response(error, request_id=request_id)
        kind = request.headers.get("content-type", "")
        found = _as_api_error(error, content_type=kind)
        if isinstance(found, MethodNotAllowed):
            found.headers = {**found.headers, "Allow": ", ".join(_allowed(request))}
        return problem_response(found, request_id=request_id)

    for kind in kinds or (ApiError, RequestValidationError, HTTPException, *_OF_DATABASE):
        app.add_exception_handler(kind, api_error)


def _allowed(request: Request) -> list[str]:
    """All methods of the resource (RFC 9110 section 15.5.6); the router knows only those of one route."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path is not None and compile_path(route.path)[0].match(path):
            found |= route.methods or set()
    return sorted(found)


def problem_responses(*errors: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an operation: its problems by status."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(error.status, {"model": Problem, "description": "", "content": _media()})
        codes = [code for code in (entry["description"], f"`{error.code}`: {error.title}") if code]
        entry["description"] = "; ".join(codes)
        entry["content"]["application/problem+json"]["examples"][error.code] = {"value": _example(error)}
    return found


def _media() -> dict[str, Any]:
    return {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}}


def _example(error: type[ApiError]) -> dict[str, Any]:
    return {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.title,
        "code": error.code,
        "request_id": "01a20797-0a7e-766a-974a-d07c52d60bc8",
    }


def _as_api_error(error: Exception, *, content_type: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error, content_type=content_type)
    if isinstance(error, HTTPException):
        return _of_status(error)
    if isinstance(error, DataError):
        return ValidationFailed("a value cannot be stored")
    if (
        isinstance(error, (InternalError, ProgrammingError))
        and getattr(error.orig, "sqlstate", None) not in _DATABASE_UNAVAILABLE
    ):
        raise error  # a defect in a statement is a 500, and logged as one
    cause = type(error.orig).__name__ if isinstance(error, DBAPIError) else cause_of(error)
    log.error("registry_unavailable", error=cause)
    return RegistryUnavailable()


def _invalid(error: RequestValidationError, *, content_type: str) -> ApiError:
    found = error.errors()
    if content_type.lower().startswith(FORMS) and any(one["loc"] == ("body",) for one in found):
        return UnsupportedMediaType("the body is a form; send application/json")
    if any(one["type"] == "json_invalid" for one in found):
        return InvalidRequest("the body is not valid JSON")
    # pydantic's message only: its `input` and `ctx` would echo the request.
    return ValidationFailed(errors=[FieldError(_pointer(one["loc"]), without_prefix(one["msg"])) for one in found[:50]])


def _pointer(location: tuple[int | str, ...]) -> str:
    """The JSON pointer to a member of the body, or a parameter's name."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location[1:]]
    return "".join(f"/{part}"[:100] for part in parts)


def _of_status(error: HTTPException) -> ApiError:
    """The error for an `HTTPException` of the router, a parser or your application's routes."""
    return _OF_STATUS[error.status_code](_detail(error), headers=error.headers)


def _detail(error: HTTPException) -> str | None:
    """The text of an `HTTPException`, unless it is only the status phrase."""
    detail: Any = error.detail  # FastAPI's may be anything
    text = detail if isinstance(detail, str) else ""
    return text[:500] if text and text != _phrase(error.status_code) else None


def _phrase(status: int) -> str:
    return responses.get(status, "Error")


def _stock_response(error: HTTPException, *, request_id: str) -> Response:
    """Your application's `HTTPException` as a problem without a type of its own (RFC 9457 section 4.2.1)."""
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    title = _phrase(error.status_code)
    body = {
        "type": "about:blank",
        "title": title,
        "status": error.status_code,
        "detail": _detail(error) or title,
        "code": f"http_{error.status_code}",
        "request_id": request_id,
    }
    return _rendered(body, headers=error.headers)
