"""What the OpenAPI document says of every POST and every body of the admin plane, beside what its routes declare."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tenants_api.api.admin.idempotency import HEADER
from tenants_api.api.problems import problem_responses
from tenants_api.errors import ApiError, BodyTooLarge, UnsupportedMediaType, ValidationFailed
from tenants_api.registry.errors import IdempotencyInFlight, IdempotencyMismatch

PROBLEM = "application/problem+json"
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A name of your own for this request: sent again within 24 hours, it gets the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def document_writes(app: FastAPI) -> None:
    """Add the Idempotency-Key of POSTs, and the problems of reading a body, where a route does not name its own."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for path in document["paths"].values():
            for method, operation in path.items():
                if method == "post":
                    _add_key(operation)
                if method in ("post", "put", "patch"):
                    _add_problems(operation, repeatable=method == "post")
                _keep_problems(operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _add_key(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    if _KEY not in parameters:
        parameters.append(_KEY)


def _add_problems(operation: dict[str, Any], *, repeatable: bool) -> None:
    repeats = (IdempotencyInFlight, IdempotencyMismatch) if repeatable else ()
    for status, response in _shown(BodyTooLarge, UnsupportedMediaType, ValidationFailed, *repeats).items():
        operation["responses"].setdefault(status, response)


def _keep_problems(operation: dict[str, Any]) -> None:
    """FastAPI adds its own 422, and its own media type to every answer with a model; refusals are problems alone."""
    default = operation["responses"].get("422")
    if default is not None and PROBLEM not in default["content"]:
        operation["responses"]["422"] = _shown(ValidationFailed)["422"]
    for status, response in operation["responses"].items():
        if status >= "400":
            response["content"] = {PROBLEM: response["content"][PROBLEM]}


def _shown(*errors: type[ApiError]) -> dict[str, dict[str, Any]]:
    found = problem_responses(*errors)
    return {
        str(status): {name: value for name, value in response.items() if name != "model"}
        for status, response in found.items()
    }
