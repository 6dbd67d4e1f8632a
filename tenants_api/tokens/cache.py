"""The verified-token cache: two generations, without a list of uses.

An entry is valid while the token is unexpired, the realm's epoch is the one in which it was verified, and the realm's
keys need no renewal; so a suspension, a withdrawn key or a changed mapping ends it at once. Refused tokens are not
cached. The caller runs the `check` of an entry that it gets.
"""

from __future__ import annotations

from hashlib import sha256
from sys import getsizeof

from tenants_api.clocks import Clocks
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.credentials import BEARER
from tenants_api.tokens.principal import Principal

BYTES_PER_TOKEN = 2048  # of the budget; a token of Keycloak's own claims takes about half
_ENTRY_OVERHEAD_BYTES = 450  # beside its texts: the principal, the digest, the integers, two slots of a dictionary


class VerifiedTokens:
    """At most `capacity` tokens in `capacity` times `BYTES_PER_TOKEN` bytes, by SHA-256 of their whole text.

    A realm with long tokens evicts others sooner; it does not fill the memory.
    """

    __slots__ = ("_bytes_left", "_cold", "_half", "_hot", "_monotonic", "_wall")

    def __init__(self, capacity: int, *, clocks: Clocks) -> None:
        self._half = max(1, capacity // 2)
        self._hot: dict[bytes, Authenticated] = {}
        self._cold: dict[bytes, Authenticated] = {}
        self._bytes_left = self._half * BYTES_PER_TOKEN
        self._wall, self._monotonic = clocks.wall, clocks.monotonic

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def find(
        self, token: bytes, *, scheme: str = BEARER, tenant: str | None = None
    ) -> tuple[bytes, Authenticated | None]:
        """Return the key of a token, and its entry if that is valid now.

        `tenant` is the slug in the request's path. Another spelling of a token has another key, and so has the same
        token under another scheme.
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
        """Store an entry under the key that `find` returned; one without `any_path` for its own tenant's paths only."""
        if not entry.any_path:
            if tenant is None or tenant != entry.principal.tenant.slug:
                return
            key += tenant.encode()
        self._insert(key, entry=entry)

    def _insert(self, key: bytes, *, entry: Authenticated) -> None:
        size = size_of(entry.principal)
        if size > self._half * BYTES_PER_TOKEN:
            return
        self._bytes_left -= size
        if len(self._hot) >= self._half or self._bytes_left < 0:
            self._cold, self._hot = self._hot, {}
            self._bytes_left = self._half * BYTES_PER_TOKEN - size
        self._hot[key] = entry


def size_of(principal: Principal) -> int:
    """Memory of a principal in bytes, without its tenant, issuer and roles, which are shared with others."""
    texts = (
        principal.subject,
        principal.username,
        principal.email,
        principal.full_name,
        principal.authorized_party,
        principal.scope,
    )
    return sum(map(getsizeof, texts), _ENTRY_OVERHEAD_BYTES)
