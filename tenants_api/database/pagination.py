"""Keyset paging: one page of a query, ordered by a UUIDv7 column. Knows no table."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from tenants_api.encoding.strict_base64 import parse_base64url
from tenants_api.errors import FieldError, ValidationFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a keyset list; `after` and `before` are cursors for the neighbours, None at an end."""

    items: tuple[T, ...]
    after: str | None
    before: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The position of a page: at most one of `after` and `before`, and a `limit` of 1 to 100."""

    limit: int = 25
    after: str | None = None
    before: str | None = None


def cursor_of(row_id: uuid.UUID) -> str:
    """An opaque cursor; it names a row and grants nothing, so every query needs its own filters."""
    return base64.urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode("ascii")


def parse_cursor(cursor: str, *, pointer: str) -> uuid.UUID:
    try:
        return uuid.UUID(bytes=parse_base64url(cursor.encode("ascii")))
    except ValueError as error:
        raise ValidationFailed(errors=[FieldError(pointer, "not a cursor of this API")]) from error


async def fetch_page(
    session: AsyncSession,
    query: Select[T],
    *,
    column: InstrumentedAttribute[uuid.UUID],
    page: PageRequest,
    descending: bool = False,
) -> Page[T]:
    """Run the query for one page, ordered by the column. Raises ValidationFailed for a broken cursor, or two."""
    if page.after is not None and page.before is not None:
        raise ValidationFailed(errors=[FieldError("/before", "give after or before, not both")])
    backwards = page.before is not None
    rows = await _rows(session, query, column=column, page=page, falling=descending != backwards)
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    if backwards:
        rows.reverse()
    return _page(rows, name=column.key, more=more, backwards=backwards, page=page)


async def _rows(
    session: AsyncSession,
    query: Select[T],
    *,
    column: InstrumentedAttribute[uuid.UUID],
    page: PageRequest,
    falling: bool,
) -> list[T]:
    cursor = page.after if page.after is not None else page.before
    if cursor is not None:
        place = parse_cursor(cursor, pointer="/after" if page.after is not None else "/before")
        query = query.where(column < place if falling else column > place)
    query = query.order_by(column.desc() if falling else column.asc()).limit(page.limit + 1)
    return list(await session.scalars(query))


def _page(rows: Sequence[Any], *, name: str, more: bool, backwards: bool, page: PageRequest) -> Page[Any]:
    if not rows:
        return Page((), None, None)
    first, last = cursor_of(getattr(rows[0], name)), cursor_of(getattr(rows[-1], name))
    has_next = backwards or more
    has_previous = more if backwards else page.after is not None
    return Page(tuple(rows), last if has_next else None, first if has_previous else None)
