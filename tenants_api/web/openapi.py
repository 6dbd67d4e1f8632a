"""Operation ids, security and validation problems in the OpenAPI documents; headers of HTML pages; telemetry."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.telemetry import TelemetryConfig

from tenants_api.errors import ApiError, ValidationFailed
from tenants_api.schemas.base import Problem
from tenants_api.web.dependencies import current_principal, depends_on
from tenants_api.web.problems import problem_responses

# The default policy allows neither scripts nor styles nor other resources; a page names what it needs.
_NOTHING = "default-src 'none'"
_ALWAYS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def html_page(content: str, *, policy: str = _NOTHING) -> HTMLResponse:
    """A page with its content security policy. The caller escapes values in `content`."""
    return HTMLResponse(content, headers=page_headers(policy=policy))


def page_headers(*, policy: str = _NOTHING) -> dict[str, str]:
    """The security headers of a page."""
    return {
        "Content-Security-Policy": f"{policy}; {_ALWAYS}",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    }


# FastAPI's telemetry is enabled where a tracer provider is set. It writes query strings into spans and exception texts
# into logs, and with them a token that a client puts into a URL by mistake.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def operation_id(route: APIRoute) -> str:
    """The handler's name in camelCase, which generated clients use for the operation."""
    first, *rest = route.name.split("_")
    return first + "".join(part.title() for part in rest)


def document_security(app: FastAPI, *, needed: Callable[[str], bool]) -> None:
    """Document which paths need a bearer token. FastAPI's own scheme would also run on every request."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"bearer": BEARER}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if needed(path):
                    operation["security"] = [{"bearer": []}]
                _replace_validation_problem(operation)
                _title(operation)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"].get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def document_callers(app: FastAPI, *, problems: Sequence[type[ApiError]]) -> None:
    """Document the bearer token, and the problems, of the routes of any application that depend on the principal.

    All else of the document remains, also its other security schemes, which the token is required beside.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for context in iter_route_contexts(app.routes):
            dependant = getattr(context, "dependant", None)
            operations = document["paths"].get(getattr(context, "path_format", context.path), {})
            if dependant is None or not depends_on(dependant, current_principal):
                continue
            for method in context.methods or ():
                if method.lower() in operations:
                    _require_bearer(operations[method.lower()], problems=problems)
                    components = document.setdefault("components", {})
                    components.setdefault("securitySchemes", {})["bearer"] = BEARER
                    components.setdefault("schemas", {}).setdefault("Problem", Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _require_bearer(operation: dict[str, Any], *, problems: Sequence[type[ApiError]]) -> None:
    operation["security"] = [{**other, "bearer": []} for other in operation.get("security", [{}])]
    for status, response in problem_responses(*problems).items():
        shown = {name: value for name, value in response.items() if name != "model"}
        operation["responses"].setdefault(str(status), shown)


def _title(operation: dict[str, Any]) -> None:
    """Replace a summary that FastAPI made of the handler's name by the first sentence of the description."""
    made = operation.get("summary", "").replace(" ", "").lower()
    sentence = re.split(r"[.;:](?:\s|$)", operation.get("description", ""), maxsplit=1)[0]
    if sentence and made == operation.get("operationId", "").removesuffix("OfTenant").lower():
        operation["summary"] = " ".join(sentence.split())


def _replace_validation_problem(operation: dict[str, Any]) -> None:
    """Replace the 422 that FastAPI documents for every operation with parameters: this API responds with a problem."""
    stock = operation["responses"].get("422")
    if stock is not None and "application/problem+json" not in stock.get("content", {}):
        problem = problem_responses(ValidationFailed)[422]
        operation["responses"]["422"] = {name: problem[name] for name in ("description", "content")}
