"""The sample resource: a table and its queries, which name the tenant although row-level security applies too."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenants_api.database.engine import Base, UtcDateTime, utc_now
from tenants_api.database.pagination import Page, PageRequest, fetch_page
from tenants_api.errors import ApiError, EtagMismatch
from tenants_api.ids import new_id


class ItemNotFound(ApiError):
    status = 404
    code = "item_not_found"
    title = "No such item"
    cause = "Your tenant has no item with this id."
    hint = "List your items with GET /v1/items."


class Item(Base):
    """One item of one tenant."""

    __tablename__ = "items"

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    version: Mapped[int] = mapped_column(BigInteger, default=1)


async def list_items(session: AsyncSession, *, tenant_id: uuid.UUID, page: PageRequest) -> Page[Item]:
    """One page of the tenant's items, oldest first. Raises ValidationFailed for a broken cursor."""
    return await fetch_page(session, select(Item).where(Item.tenant_id == tenant_id), column=Item.id, page=page)


async def get_item(
    session: AsyncSession, *, tenant_id: uuid.UUID, item_id: uuid.UUID, for_update: bool = False
) -> Item:
    """An item of this tenant. Raises ItemNotFound, also for another tenant's."""
    query = select(Item).where(Item.tenant_id == tenant_id, Item.id == item_id)
    item: Item | None = await session.scalar(query.with_for_update() if for_update else query)
    if item is None:
        raise ItemNotFound
    return item


async def create_item(
    session: AsyncSession, *, tenant_id: uuid.UUID, title: str, body: str | None, created_by: str
) -> Item:
    """A new item; `created_by` is the subject of the principal."""
    item = Item(tenant_id=tenant_id, title=title, body=body, created_by=created_by)
    session.add(item)
    await session.flush()
    return item


async def update_item(
    session: AsyncSession,
    *,
    tenant_id: uuid.UUID,
    item_id: uuid.UUID,
    fields: Mapping[str, Any],
    if_match: int | None,
) -> Item:
    """Change some of `title` and `body`. Raises ItemNotFound, EtagMismatch."""
    item = await get_item(session, tenant_id=tenant_id, item_id=item_id, for_update=True)
    if if_match is not None and item.version != if_match:
        raise EtagMismatch(f"If-Match names version {if_match}, the stored one is {item.version}")
    for name in ("title", "body"):
        if name in fields:
            setattr(item, name, fields[name])
    item.version += 1
    item.updated_at = utc_now()
    await session.flush()
    return item


async def delete_item(session: AsyncSession, *, tenant_id: uuid.UUID, item_id: uuid.UUID) -> None:
    """Remove an item. Raises ItemNotFound."""
    await session.delete(await get_item(session, tenant_id=tenant_id, item_id=item_id, for_update=True))
    await session.flush()
