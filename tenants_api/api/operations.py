"""Names of operations in the OpenAPI documents."""

from __future__ import annotations

from fastapi.routing import APIRoute


def operation_id(route: APIRoute) -> str:
    """The handler's name in camelCase: what generated clients call the operation."""
    first, *rest = route.name.split("_")
    return first + "".join(part.title() for part in rest)
