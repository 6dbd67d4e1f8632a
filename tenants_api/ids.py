"""Ids of rows."""

from __future__ import annotations

import uuid

import uuid_utils.compat


def is_id(text: str) -> bool:
    """Whether the registry reads the text as an id, and not as a slug."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562), which sorts by time of creation; keyset paging relies on it."""
    return uuid_utils.compat.uuid7()
