"""Names, security and validation problems of operations in the OpenAPI documents; what is traced of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig

from tenants_api.errors import ValidationFailed
from tenants_api.web.problems import problem_responses

# No script at all, no style, nothing loaded: what a page needs more, it names.
_NOTHING = "default-src 'none'"
_ALWAYS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def html_page(content: str, *, policy: str = _NOTHING) -> HTMLResponse:
    """A page with its content security policy. Whoever builds `content` has escaped what is not its own."""
    return HTMLResponse(content, headers=page_headers(policy=policy))


def page_headers(*, policy: str = _NOTHING) -> dict[str, str]:
    """The headers of a page; a policy is told once, before the browser reads the first byte."""
    return {
        "Content-Security-Policy": f"{policy}; {_ALWAYS}",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    }


# FastAPI's own telemetry is on wherever a tracer provider is set, and writes query strings into spans and the texts of
# exceptions into logs: a token that a client puts into a URL by mistake would be in them.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def operation_id(route: APIRoute) -> str:
    """The handler's name in camelCase: what generated clients call the operation."""
    first, *rest = route.name.split("_")
    return first + "".join(part.title() for part in rest)


def document_security(app: FastAPI, *, needed: Callable[[str], bool]) -> None:
    """Say in the document which paths need a bearer token. FastAPI's own scheme would run on every request."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"bearer": BEARER}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if needed(path):
                    operation["security"] = [{"bearer": []}]
                _say_how_validation_fails(operation)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"].get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _say_how_validation_fails(operation: dict[str, Any]) -> None:
    """FastAPI adds a 422 of its own shape to every operation with parameters; this API never answers that."""
    stock = operation["responses"].get("422")
    if stock is not None and "application/problem+json" not in stock.get("content", {}):
        problem = problem_responses(ValidationFailed)[422]
        operation["responses"]["422"] = {name: problem[name] for name in ("description", "content")}
