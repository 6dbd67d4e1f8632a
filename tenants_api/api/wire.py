"""The bases of all wire models. Reads and writes are different classes; unknown fields are refused on writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from tenants_api.paging import Page

T = TypeVar("T")


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: str) -> str:
    """Control characters break logs, headers and PostgreSQL (NUL)."""
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError("must not hold control characters")
    return value


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
PlainText = Annotated[str, AfterValidator(_plain)]


def example(**members: Any) -> ConfigDict:
    """The `model_config` of a model whose contract shows this example."""
    return ConfigDict(json_schema_extra={"examples": [members]})


class WireOut(BaseModel):
    """What is answered: built from rows and values by attribute."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class WireIn(BaseModel):
    """What is sent to us: strict types, no unknown fields, no echo of what was wrong."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, populate_by_name=True)


class ListMetadata(WireOut):
    """Cursors for the neighbouring pages; null at an end."""

    after: str | None = None
    before: str | None = None


class Paged(WireOut, Generic[T]):
    """One page of a keyset list."""

    data: list[T]
    list_metadata: ListMetadata


def paged(page: Page[Any], *, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """A page in its envelope, ready for `Paged[…]`."""
    return {
        "data": [convert(row) for row in page.items],
        "list_metadata": {"after": page.after, "before": page.before},
    }


class Problem(WireOut):
    """RFC 9457. `code` is stable; `errors` points at wrong fields (RFC 6901)."""

    type: str = Field(examples=["/problems/invalid_token"])
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []
