"""The kinds of fields that the admin plane reads: bounded, strict, without control characters. Knows no resource."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from tenants_api.api.admin.edge import SLUG, is_uuid
from tenants_api.api.wire import PlainText

MAX_METADATA = 16_384  # bytes of JSON
MAX_DEPTH = 20


def absent() -> Any:
    """The value of a field that a merge patch leaves out; it is never read (`exclude_unset`)."""
    return None


def _slug(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError("must be 1 to 63 lower-case letters, digits and inner hyphens")
    if is_uuid(value):
        raise ValueError("must not look like an id: ids and slugs stand at the same place in paths")
    return value


def _no_space_around(value: str) -> str:
    if value != value.strip():
        raise ValueError("must not begin or end with white space")
    return value


def _is_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, as a string")
    return value


def check_depth(value: Any) -> Any:
    """Refuse JSON that is nested deeper than any of our own functions should recurse."""
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
        inner = [one for one in layer if isinstance(one, dict | list)]
        layer = [child for one in inner for child in (one.values() if isinstance(one, dict) else one)]
    return value


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Bounded in bytes and depth. Raises ValueError."""
    check_depth(value)
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_METADATA:
        raise ValueError(f"must be at most {MAX_METADATA} bytes of JSON")
    if "\\u0000" in text:
        raise ValueError("must not hold NUL characters")
    return value


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


Slug = Annotated[str, AfterValidator(_slug), Field(examples=["acme"], max_length=63)]
Name = Annotated[PlainText, AfterValidator(_no_space_around), Field(min_length=1, max_length=200, examples=["Acme Ltd"])]
Identifier = Annotated[PlainText, AfterValidator(_no_space_around), Field(min_length=1, max_length=255)]
ExternalId = Annotated[PlainText, AfterValidator(_no_space_around), Field(min_length=1, max_length=200)]
# A little longer than an issuer may be: a pasted well-known URL is stripped before it is measured.
Url = Annotated[PlainText, Field(min_length=1, max_length=600, examples=["https://id.example.com/realms/acme"])]
Reason = Annotated[PlainText, Field(max_length=500, examples=["unpaid since March"])]
Metadata = Annotated[dict[str, Any], AfterValidator(check_metadata), Field(examples=[{"plan": "gold"}])]
Claims = Annotated[dict[str, Any], AfterValidator(check_depth)]
# Strict mode would refuse every time that comes as JSON; anything but a text is refused first.
Instant = Annotated[AwareDatetime, BeforeValidator(_is_text), Field(strict=False)]
