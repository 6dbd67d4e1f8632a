"""What a proxy's configuration asks of forward auth: `tenant=`, `role=`, `profile=`.

Envoy appends the client's own path and query to the address that it was given. There the configured options end with
`original=`: whatever stands behind it is the client's and is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from tenants_api.errors import InvalidRequest, UriTooLong

MAX_OPTIONS_BYTES = 2048  # three options; a slug has 63 characters, a role 100
PROFILES = ("nginx", "envoy")
_NAMES = frozenset({"tenant", "role", "profile"})
_ORIGINAL = b"&original="


@dataclass(frozen=True, slots=True)
class Options:
    """`tenant` is the slug that the token must belong to, `role` the role that it must have; None asks for nothing."""

    tenant: str | None = None
    role: str | None = None
    profile: str | None = None


def parse_options(query: bytes) -> Options:
    """The options of one query string.

    Raises:
        InvalidRequest: an option is unknown, empty or given twice; a check that is misspelt must not be left out.
        UriTooLong: what stands before `original=` is no proxy's configuration; nothing of it was read.
    """
    configured, original, _ = query.partition(_ORIGINAL)
    if len(configured) > MAX_OPTIONS_BYTES:
        raise UriTooLong(len(configured), most=MAX_OPTIONS_BYTES)
    return _parse(configured, bool(original))


# A proxy's configuration holds a handful; a caller who invents more evicts, and no more. Without the client's part of
# the query, which is another one for each request.
@lru_cache(maxsize=256)
def _parse(configured: bytes, original: bool) -> Options:
    pairs = parse_qsl(configured.decode("latin-1"), keep_blank_values=True, separator="&")
    found = dict(pairs)
    if not found.keys() <= _NAMES:
        raise InvalidRequest("forward auth knows the options tenant, role and profile, and no other")
    if len(found) != len(pairs) or not all(found.values()):
        raise InvalidRequest("an option of forward auth stands twice or is empty")
    options = Options(**found)
    if options.profile is not None and options.profile not in PROFILES:
        raise InvalidRequest(f"the profiles of forward auth are {' and '.join(PROFILES)}")
    if original and options.profile != "envoy":
        raise InvalidRequest("original= belongs to profile=envoy")
    return options
