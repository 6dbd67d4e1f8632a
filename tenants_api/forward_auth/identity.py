"""A principal as headers for the service behind a proxy.

Every header is always there and never empty: a proxy that copies only what an answer holds would otherwise let the
client's own header of that name through (Caddy, GHSA-7r4p-vjf4-gxv4).
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from urllib.parse import quote

from tenants_api.errors import ApiError
from tenants_api.tokens.errors import REALM
from tenants_api.tokens.principal import Principal


class IdentityTooLarge(ApiError):
    """A name that is cut could be another user's, and a role that is left out could be the one that forbids."""

    status = 403
    code = "identity_too_large"
    title = "The identity does not fit into headers"
    cause = "User name, email and roles of the token take more than 4096 bytes as headers for the service behind."
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
# Beside them where it is turned on, and so cleared in front of us like them.
ASSERTION = "X-Internal-Assertion"
NOTHING = b"-"
MAX_KEPT = 255  # characters of a text whose encoded form is kept: Keycloak's longest user name, 3 KB at most
MAX_IDENTITY_BYTES = (
    4095  # of all identity headers as lines: nginx reads the head of a response into one page of memory
)
# What RFC 8187 calls attr-char, and what mail addresses and group paths hold. Above all not: `%`, comma, space.
_PLAIN = "!#$&+-.^_`|~@:/"

Headers = list[tuple[bytes, bytes]]


def identity_headers(principal: Principal) -> Headers:
    """The six headers, names in lower case as ASGI wants them.

    Raises:
        IdentityTooLarge: they would take 4096 bytes or more; nothing is cut.
    """
    if len(principal.username or "") + len(principal.email or "") > MAX_IDENTITY_BYTES:
        raise IdentityTooLarge  # each character takes a byte at least: what cannot fit is not encoded first
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
    """Percent-encoded UTF-8 (RFC 3986 section 2.1), US-ASCII only; `-` alone means that there is none."""
    if not text:
        return NOTHING
    if text == "-":
        return b"%2D"
    return _encode(text) if len(text) <= MAX_KEPT else _encode.__wrapped__(text)


# Bounded by count: the headers of the same few tenants, roles and users are asked for again and again.
@lru_cache(maxsize=8192)
def _encode(text: str) -> bytes:
    # A claim may hold half a surrogate pair, which UTF-8 has no bytes for: it must neither fail nor look like another.
    return quote(text, safe=_PLAIN, errors="surrogatepass").encode("ascii")


@lru_cache(maxsize=1024)
def _list(roles: frozenset[str]) -> bytes:
    return b",".join(encoded(role) for role in sorted(roles)) or NOTHING


@lru_cache(maxsize=1024)
def _id(tenant_id: uuid.UUID) -> bytes:
    return str(tenant_id).encode("ascii")


_NAMES = tuple(name.lower().encode("ascii") for name in IDENTITY_HEADERS)
_LARGEST_VALUES = MAX_IDENTITY_BYTES - sum(len(name) + 4 for name in _NAMES)  # `: ` and the line's end
