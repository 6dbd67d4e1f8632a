"""Ids of what we make. Knows no table."""

from __future__ import annotations

import uuid

import uuid_utils.compat


def is_id(text: str) -> bool:
    """Whether the registry takes the text for an id; it then never looks for a slug."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): sorts by time of creation, so keyset paging needs no second column."""
    return uuid_utils.compat.uuid7()
