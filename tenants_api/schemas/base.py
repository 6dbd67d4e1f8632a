"""Types of fields: bounded, strict, without control characters. Knows no resource."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from tenants_api.database.pagination import Page
from tenants_api.ids import is_id

T = TypeVar("T")


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: str) -> str:
    # Control characters break logs, headers and PostgreSQL (NUL).
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError("must not hold control characters")
    return value


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
PlainText = Annotated[str, AfterValidator(_plain)]


def example(**members: Any) -> ConfigDict:
    """The `model_config` of a model with this example in its JSON schema."""
    return ConfigDict(json_schema_extra={"examples": [members]})


class ResponseModel(BaseModel):
    """Base of response models, which are validated from attributes of rows and values."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class RequestModel(BaseModel):
    """Base of request models: strict types, no unknown fields, no input in errors."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, populate_by_name=True)


class ListMetadata(ResponseModel):
    """Cursors for the neighbouring pages; null at an end."""

    after: str | None = None
    before: str | None = None


class Paged(ResponseModel, Generic[T]):
    """One page of a keyset list."""

    data: list[T]
    list_metadata: ListMetadata


def paged(page: Page[Any], *, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """A page as the members of `Paged`."""
    return {
        "data": [convert(row) for row in page.items],
        "list_metadata": {"after": page.after, "before": page.before},
    }


class Problem(ResponseModel):
    """A problem (RFC 9457). `code` is stable; `errors` points at wrong fields (RFC 6901)."""

    type: str = Field(examples=["/problems/invalid_token"])
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []


MAX_METADATA_BYTES = 16_384  # of JSON
MAX_JSON_DEPTH = 20
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def is_slug(text: str) -> bool:
    """Whether the text has the form of a slug; some slugs from before that rule are ids."""
    return _SLUG.fullmatch(text) is not None


def merge_patch(target: Mapping[str, Any], *, patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396: null removes a member, an object is merged, anything else replaces."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            present = merged.get(name)
            merged[name] = merge_patch(present if isinstance(present, dict) else {}, patch=value)
        else:
            merged[name] = value
    return merged


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Check the bounds of bytes and depth. Raises ValueError."""
    check_depth(value)
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    if "\\u0000" in text:
        raise ValueError("must not hold NUL characters")
    return value


def check_depth(value: Any) -> Any:
    """Refuse JSON that is nested deeper than recursive functions should go. Raises ValueError."""
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"must not be nested deeper than {MAX_JSON_DEPTH} levels")
        inner = [one for one in layer if isinstance(one, dict | list)]
        layer = [child for one in inner for child in (one.values() if isinstance(one, dict) else one)]
    return value


def _check_slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError("must be 1 to 63 lower-case letters, digits and inner hyphens")
    if is_id(value):
        raise ValueError("must not be a UUID, because paths accept an id or a slug")
    return value


def _no_space_around(value: str) -> str:
    if value != value.strip():
        raise ValueError("must not begin or end with white space")
    return value


def _is_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, as a string")
    return value


_Trimmed = Annotated[PlainText, AfterValidator(_no_space_around)]
Slug = Annotated[str, AfterValidator(_check_slug), Field(max_length=63, examples=["acme"])]
Name = Annotated[_Trimmed, Field(min_length=1, max_length=200, examples=["Acme Ltd"])]
ClientId = Annotated[_Trimmed, Field(min_length=1, max_length=255, examples=["tenants-api"])]
ExternalId = Annotated[_Trimmed, Field(min_length=1, max_length=200, examples=["crm-4711"])]
# Longer than an issuer may be: the suffix of a pasted well-known URL is removed before the check of the issuer.
Url = Annotated[PlainText, Field(min_length=1, max_length=600, examples=["https://id.example/realms/acme"])]
Metadata = Annotated[dict[str, Any], AfterValidator(check_metadata), Field(examples=[{"plan": "gold"}])]
Claims = Annotated[dict[str, Any], AfterValidator(check_depth)]
# Not strict, because strict mode refuses strings; `_is_text` refuses everything else.
Instant = Annotated[AwareDatetime, BeforeValidator(_is_text), Field(strict=False)]
