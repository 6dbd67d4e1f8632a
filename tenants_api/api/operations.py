"""Names and security of operations in the OpenAPI documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

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
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
