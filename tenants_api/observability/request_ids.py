"""The id that follows a request through several services."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any

import uuid_utils

REQUEST_ID = "tenants_api.request_id"  # where the scope of a request has its id
_VALID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """A valid incoming `X-Request-ID` is kept, anything else replaced; header names are in lower case, as in ASGI."""
    given = b""
    for name, value in headers:
        if name == b"x-request-id":
            given = bytes(value)  # the first of two counts
            break
    return given.decode("ascii") if _VALID.fullmatch(given) else str(uuid_utils.uuid7())


def request_id_in(scope: MutableMapping[str, Any]) -> str:
    """The id of the request with this scope, made when it is first asked for."""
    found: str | None = scope.get(REQUEST_ID)
    if found is None:
        found = scope[REQUEST_ID] = request_id_of(scope["headers"])
    return found
