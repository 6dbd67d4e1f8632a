"""The identity headers of a principal, for the service behind a proxy.

Every header is always present and not empty: a proxy that copies only headers of the response would otherwise forward
the client's header of that name (Caddy, GHSA-7r4p-vjf4-gxv4).
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from urllib.parse import quote

from tenants_api.errors import ApiError
from tenants_api.tokens.errors import REALM
from tenants_api.tokens.principal import Principal


class IdentityTooLarge(ApiError):
    """The identity headers are too large. Nothing is cut: a shortened name could be another user's."""

    status = 403
    code = "identity_too_large"
    title = "The identity does not fit into headers"
    cause = "User name, email and roles of the token exceed 4095 bytes as headers for the upstream service."
    hint = "Shorten the user name in the realm, or map fewer roles to the user; nothing is ever cut off."

    def __init__(self) -> None:
        challenge = f'Bearer realm="{REALM}", error="insufficient_scope", error_description="The identity is too large"'
        super().__init__(headers={"WWW-Authenticate": challenge})


IDENTITY_HEADERS = (
    "X-Tenant-Id",
    "X-Tenant-Slug",
    "X-Tenant-Roles",
    "X-Auth-Request-User",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Email",
)
# Set with them if assertions are enabled, and cleared by the proxy like them.
ASSERTION = "X-Internal-Assertion"
ABSENT = b"-"
MAX_CACHED_CHARACTERS = 255  # of a text whose encoded form is cached: Keycloak's longest user name
MAX_IDENTITY_BYTES = 4095  # of the header lines: nginx reads the head of a response into a buffer of one page
# attr-char of RFC 8187, and characters of mail addresses and group paths; not `%`, comma and space.
_PLAIN = "!#$&+-.^_`|~@:/"

Headers = list[tuple[bytes, bytes]]


def identity_headers(principal: Principal) -> Headers:
    """The six headers, with names in lower case (ASGI).

    Raises:
        IdentityTooLarge: they exceed `MAX_IDENTITY_BYTES`.
    """
    if len(principal.username or "") + len(principal.email or "") > MAX_IDENTITY_BYTES:
        raise IdentityTooLarge  # before encoding: each character takes at least one byte
    values = (
        _id(principal.tenant.id),
        encoded(principal.tenant.slug),
        _list(principal.roles),
        encoded(principal.subject),
        encoded(principal.username),
        encoded(principal.email),
    )
    if sum(map(len, values)) > _LARGEST_VALUES:
        raise IdentityTooLarge
    return list(zip(_NAMES, values, strict=True))


def encoded(text: str | None) -> bytes:
    """Percent-encoded UTF-8 (RFC 3986 section 2.1) in US-ASCII; `-` means that there is no value."""
    if not text:
        return ABSENT
    if text == "-":
        return b"%2D"
    return _encode(text) if len(text) <= MAX_CACHED_CHARACTERS else _encode.__wrapped__(text)


# Cached: requests repeat the same tenants, roles and users.
@lru_cache(maxsize=8192)
def _encode(text: str) -> bytes:
    # A claim may hold a lone surrogate, which UTF-8 cannot encode: it must neither fail nor look like another text.
    return quote(text, safe=_PLAIN, errors="surrogatepass").encode("ascii")


@lru_cache(maxsize=1024)
def _list(roles: frozenset[str]) -> bytes:
    return b",".join(encoded(role) for role in sorted(roles)) or ABSENT


@lru_cache(maxsize=1024)
def _id(tenant_id: uuid.UUID) -> bytes:
    return str(tenant_id).encode("ascii")


_NAMES = tuple(name.lower().encode("ascii") for name in IDENTITY_HEADERS)
_LARGEST_VALUES = MAX_IDENTITY_BYTES - sum(len(name) + 4 for name in _NAMES)  # `: ` and the line's end
