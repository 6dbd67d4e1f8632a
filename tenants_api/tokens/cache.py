"""Verified tokens, so that a token is verified once. Two generations instead of a list of uses.

What staleness means here: an entry is used only while the token is unexpired, its realm's epoch is the one it was
verified in and the realm's keys need no renewal; so a suspension, a withdrawn key or a changed mapping ends it at
once. Only tokens that were accepted ever enter; a refused one leaves no trace. What belongs to the request is not
decided here: whoever takes an entry out runs its `check`.
"""

from __future__ import annotations

from hashlib import sha256
from sys import getsizeof

from tenants_api.clocks import Clocks
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.credentials import BEARER
from tenants_api.tokens.principal import Principal

BYTES_PER_TOKEN = 2048  # of the budget; a token of Keycloak's own claims takes about half
_OBJECTS = 450  # bytes of an entry beside its texts: the principal, the digest, the numbers, two slots of a dictionary


class VerifiedTokens:
    """At most `capacity` tokens, known by SHA-256 of their whole text: no bearer token stays in memory.

    They take at most `capacity` times `BYTES_PER_TOKEN` bytes: a realm whose tokens are full of text pushes others out
    sooner, and does not fill the memory.
    """

    __slots__ = ("_cold", "_half", "_hot", "_monotonic", "_room", "_wall")

    def __init__(self, capacity: int, *, clocks: Clocks) -> None:
        self._half = max(1, capacity // 2)
        self._hot: dict[bytes, Authenticated] = {}
        self._cold: dict[bytes, Authenticated] = {}
        self._room = self._half * BYTES_PER_TOKEN
        self._wall, self._monotonic = clocks.wall, clocks.monotonic

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def find(
        self, token: bytes, *, scheme: str = BEARER, tenant: str | None = None
    ) -> tuple[bytes, Authenticated | None]:
        """The key of a token, and what is known of it if that may be used now.

        `tenant` is the slug in the request's path. Another spelling of the same token is another token, and so is the
        same one under another scheme.
        """
        key = sha256(token).digest()
        if scheme != BEARER:
            key += scheme.encode() + b" "
        for each in (key,) if tenant is None else (key, key + tenant.encode()):
            entry = self._hot.get(each)
            if entry is None:
                entry = self._cold.get(each)
                if entry is None:
                    continue
                self._insert(each, entry=entry)
            realm, now = entry.realm, self._wall()
            if (
                entry.principal.expires_at > now
                and entry.until > now
                and entry.epoch == realm.epoch
                and (self._monotonic() < realm.renew_at or not entry.needs_keys)
            ):
                return key, entry
        return key, None

    def put(self, key: bytes, *, entry: Authenticated, tenant: str | None) -> None:
        """Keep what was just found out under the key that `find` gave.

        What is not good for any path is kept for the paths of its own tenant alone.
        """
        if not entry.any_path:
            if tenant is None or tenant != entry.principal.tenant.slug:
                return
            key += tenant.encode()
        self._insert(key, entry=entry)

    def _insert(self, key: bytes, *, entry: Authenticated) -> None:
        size = size_of(entry.principal)
        if size > self._half * BYTES_PER_TOKEN:
            return
        self._room -= size
        if len(self._hot) >= self._half or self._room < 0:
            self._cold, self._hot = self._hot, {}
            self._room = self._half * BYTES_PER_TOKEN - size
        self._hot[key] = entry


def size_of(principal: Principal) -> int:
    """Bytes of memory that a principal takes by itself; its tenant, issuer and roles are shared with others."""
    texts = (
        principal.subject,
        principal.username,
        principal.email,
        principal.full_name,
        principal.authorized_party,
        principal.scope,
    )
    return sum(map(getsizeof, texts), _OBJECTS)
