"""Admin API keys. The text of a key is only in the response to its creation."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response, status
from pydantic import Field

from tenants_api.api.admin.paths import MountPath
from tenants_api.control import admin_keys
from tenants_api.errors import ValidationFailed
from tenants_api.registry.errors import ApiKeyNotFound
from tenants_api.registry.models import AdminApiKey
from tenants_api.schemas.base import Instant, Name, RequestModel, ResponseModel, Time
from tenants_api.web.current_admin import KeyWriter
from tenants_api.web.dependencies import CommandsDep, ReadSession
from tenants_api.web.preconditions import ShownOnceRoute
from tenants_api.web.problems import problem_responses

router = APIRouter(prefix="/v1/api-keys", tags=["api keys"], route_class=ShownOnceRoute)


Scope = Literal["tenants:read", "tenants:write", "keys:write", "audit:read"]


class ApiKeyIn(RequestModel):
    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=4, examples=[["tenants:read"]])
    expires_at: Instant | None = Field(default=None, examples=["2027-01-01T00:00:00Z"])


class ApiKeyOut(ResponseModel):
    id: uuid.UUID
    key_id: str
    name: str
    scopes: list[str]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class NewApiKey(ApiKeyOut):
    """`key` is shown once; in a replayed response it is null."""

    key: str | None


class ApiKeyList(ResponseModel):
    data: list[ApiKeyOut]


@router.get("", response_model=ApiKeyList)
async def list_api_keys(caller: KeyWriter, session: ReadSession) -> dict[str, Any]:
    """All keys, also expired and revoked ones."""
    return {"data": await admin_keys.list_admin_keys(session)}


@router.post(
    "",
    response_model=NewApiKey,
    status_code=status.HTTP_201_CREATED,
    responses=problem_responses(ValidationFailed),
)
async def create_api_key(
    body: ApiKeyIn, response: Response, caller: KeyWriter, commands: CommandsDep, mount: MountPath
) -> Any:
    """Create a key with scopes that the caller has."""
    row, key = await commands.create_admin_key(
        body.name, scopes=body.scopes, expires_at=body.expires_at, held=caller.scopes, change=caller.change()
    )
    response.headers["Location"] = f"{mount}/v1/api-keys/{row.id}"
    return {**_fields(row), "key": key}


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT, responses=problem_responses(ApiKeyNotFound))
async def revoke_api_key(key_id: Annotated[str, Path(max_length=64)], caller: KeyWriter, commands: CommandsDep) -> None:
    """Revoke a key; the next request with it is refused. The caller must have every scope of the key."""
    await commands.revoke_admin_key(key_id, held=caller.scopes, change=caller.change())


def _fields(row: AdminApiKey) -> dict[str, uuid.UUID | str | list[str] | datetime | None]:
    return {name: getattr(row, name) for name in ApiKeyOut.model_fields}
