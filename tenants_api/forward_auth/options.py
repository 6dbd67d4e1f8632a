"""The options in the query of forward auth, from a proxy's configuration: `tenant=`, `role=`, `profile=`.

Envoy appends the client's path and query to the configured URL, whose options therefore end with `original=`: the text
after it is the client's and is ignored.
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
    """`tenant` is the slug of the required tenant, `role` the required role; None requires nothing."""

    tenant: str | None = None
    role: str | None = None
    profile: str | None = None


def parse_options(query: bytes) -> Options:
    """The options of a query string.

    Raises:
        InvalidRequest: an option is unknown, empty or repeated; a misspelt check must not be skipped.
        UriTooLong: the options are longer than `MAX_OPTIONS_BYTES`; they were not parsed.
    """
    configured, original, _ = query.partition(_ORIGINAL)
    if len(configured) > MAX_OPTIONS_BYTES:
        raise UriTooLong(len(configured), most=MAX_OPTIONS_BYTES)
    return _parse(configured, bool(original))


# Cached without the client's part of the query, which differs in each request. A proxy has a handful of options; a
# client that varies them only evicts entries.
@lru_cache(maxsize=256)
def _parse(configured: bytes, original: bool) -> Options:
    pairs = parse_qsl(configured.decode("latin-1"), keep_blank_values=True, separator="&")
    found = dict(pairs)
    if not found.keys() <= _NAMES:
        raise InvalidRequest("unknown option; forward auth has the options tenant, role and profile")
    if len(found) != len(pairs) or not all(found.values()):
        raise InvalidRequest("an option is repeated or empty; expected each option at most once, with a value")
    options = Options(**found)
    if options.profile is not None and options.profile not in PROFILES:
        raise InvalidRequest(f"unknown profile; the profiles are {' and '.join(PROFILES)}")
    if original and options.profile != "envoy":
        raise InvalidRequest("original= requires profile=envoy")
    return options
