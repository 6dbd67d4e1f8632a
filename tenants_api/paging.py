"""Cursors and pages of keyset lists, as plain values. Knows no table and no SQL."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.strict_base64 import parse_base64url

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a keyset list; `after` and `before` are cursors for the neighbours, None at an end."""

    items: tuple[T, ...]
    after: str | None
    before: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A place in a keyset list: at most one of `after` and `before`, and a `limit` of 1 to 100."""

    limit: int = 25
    after: str | None = None
    before: str | None = None


def cursor_of(row_id: uuid.UUID) -> str:
    """An opaque cursor; it names a row and proves nothing, so every query keeps its own filters."""
    return base64.urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode("ascii")


def parse_cursor(cursor: str, *, pointer: str) -> uuid.UUID:
    try:
        return uuid.UUID(bytes=parse_base64url(cursor.encode("ascii")))
    except ValueError as error:
        raise ValidationFailed(errors=[FieldError(pointer, "not a cursor that this API gave")]) from error
