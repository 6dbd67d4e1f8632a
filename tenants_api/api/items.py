"""The sample resource: tenant-scoped rows. Every query starts from `principal.tenant`."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response, status
from pydantic import Field

from tenants_api import items as repository
from tenants_api.api.tenant import TOKEN_PROBLEMS
from tenants_api.errors import BodyTooLarge, EtagMismatch, InvalidRequest, UnsupportedMediaType, ValidationFailed
from tenants_api.items import Item, ItemNotFound
from tenants_api.schemas.base import Paged, PlainText, RequestModel, ResponseModel, Time, example, paged
from tenants_api.tokens.principal import Principal
from tenants_api.web.dependencies import PageDep, TenantReadSession, TenantWriteSession, requires
from tenants_api.web.preconditions import etag, parse_if_match
from tenants_api.web.problems import problem_responses
from tenants_api.web.routing import StrictRoute

router = APIRouter(
    prefix="/v1/items", tags=["items"], responses=problem_responses(*TOKEN_PROBLEMS), route_class=StrictRoute
)
_WRITE_PROBLEMS = problem_responses(InvalidRequest, BodyTooLarge, UnsupportedMediaType, ValidationFailed)

Viewer = Annotated[Principal, requires("viewer")]
Editor = Annotated[Principal, requires("editor")]
Admin = Annotated[Principal, requires("admin")]


_ITEM = {
    "id": "01a20797-0a7e-766a-974a-d07c52d60bc8",
    "title": "Order more paper",
    "body": "Two boxes, recycled",
    "created_by": "3f1c2b7e-6a53-4c8e-9a57-0d1c1a2b3c4d",
    "created_at": "2026-11-23T09:30:00.000Z",
    "updated_at": "2026-11-23T09:30:00.000Z",
    "version": 1,
}


class ItemOut(ResponseModel):
    model_config = example(**_ITEM)

    id: uuid.UUID
    title: str
    body: str | None
    created_by: str
    created_at: Time
    updated_at: Time
    version: int


class ItemIn(RequestModel):
    model_config = example(title="Order more paper", body="Two boxes, recycled")

    title: PlainText = Field(min_length=1, max_length=200)
    body: PlainText | None = Field(default=None, max_length=10_000)


class ItemChange(RequestModel):
    """A merge patch (RFC 7396): absent members stay as they are, `"body": null` removes the body."""

    model_config = example(body="Three boxes")

    title: PlainText = Field(default="", min_length=1, max_length=200)
    body: PlainText | None = Field(default=None, max_length=10_000)


@router.get("", response_model=Paged[ItemOut], responses=problem_responses(ValidationFailed))
async def list_items(principal: Viewer, session: TenantReadSession, page: PageDep) -> dict[str, Any]:
    """Your tenant's items, oldest first."""
    found = await repository.list_items(session, tenant_id=principal.tenant.id, page=page)
    return paged(found, convert=ItemOut.model_validate)


@router.post("", response_model=ItemOut, status_code=status.HTTP_201_CREATED, responses=_WRITE_PROBLEMS)
async def create_item(
    item: ItemIn, request: Request, response: Response, principal: Editor, session: TenantWriteSession
) -> Item:
    """A new item of your tenant."""
    row = await repository.create_item(
        session, tenant_id=principal.tenant.id, title=item.title, body=item.body, created_by=principal.subject
    )
    # The path only: `request.url` contains the Host header, which the client chooses.
    response.headers["Location"] = f"{request.scope['path']}/{row.id}"
    response.headers["ETag"] = etag(row)
    return row


@router.get("/{item_id}", response_model=ItemOut, responses=problem_responses(ItemNotFound, ValidationFailed))
async def get_item(item_id: uuid.UUID, response: Response, principal: Viewer, session: TenantReadSession) -> Item:
    """One item of your tenant; 404 for another tenant's item."""
    row = await repository.get_item(session, tenant_id=principal.tenant.id, item_id=item_id)
    response.headers["ETag"] = etag(row)
    return row


@router.patch(
    "/{item_id}",
    response_model=ItemOut,
    responses={**_WRITE_PROBLEMS, **problem_responses(ItemNotFound, EtagMismatch)},
)
async def update_item(
    item_id: uuid.UUID,
    item: ItemChange,
    response: Response,
    principal: Editor,
    session: TenantWriteSession,
    if_match: Annotated[str | None, Header()] = None,
) -> Item:
    """Change an item by merge patch; with If-Match only if it still has that version."""
    row = await repository.update_item(
        session,
        tenant_id=principal.tenant.id,
        item_id=item_id,
        fields=item.model_dump(exclude_unset=True),
        if_match=parse_if_match(if_match),
    )
    response.headers["ETag"] = etag(row)
    return row


@router.delete(
    "/{item_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problem_responses(ItemNotFound, ValidationFailed),
)
async def delete_item(item_id: uuid.UUID, principal: Admin, session: TenantWriteSession) -> None:
    """Remove an item of your tenant."""
    await repository.delete_item(session, tenant_id=principal.tenant.id, item_id=item_id)
