"""The id that follows a request through several services."""

from __future__ import annotations

import re
from collections.abc import Iterable

import uuid_utils

_VALID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """A valid incoming `X-Request-ID` is kept, anything else replaced; header names are in lower case, as in ASGI."""
    given = next((bytes(value) for name, value in headers if name == b"x-request-id"), b"")
    return given.decode("ascii") if _VALID.fullmatch(given) else str(uuid_utils.uuid7())
