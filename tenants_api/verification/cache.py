"""Verified tokens, so that a token is verified once. Two generations instead of a list of uses.

What staleness means here: an entry is used only while the token is unexpired, its realm's epoch is the one it was
verified in and the realm's keys need no renewal; so a suspension, a withdrawn key or a changed mapping ends it at
once. Only tokens that were accepted ever enter; a refused one leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof

from tenants_api.verification.clocks import Clocks
from tenants_api.verification.principal import Principal
from tenants_api.verification.realms import TrustedRealm

BYTES_PER_TOKEN = 2048  # of the budget; a token of Keycloak's own claims takes about half
_OBJECTS = 400  # bytes of an entry beside its texts: the principal, the digest, the numbers, two slots of a dictionary


@dataclass(slots=True)  # not frozen, which would cost at each new token what nobody here would notice
class _Entry:
    principal: Principal
    realm: TrustedRealm
    epoch: int
    size: int


class VerifiedTokens:
    """At most `capacity` tokens, known by SHA-256 of their whole text: no bearer token stays in memory.

    They take at most `capacity` times `BYTES_PER_TOKEN` bytes: a realm whose tokens are full of text pushes others out
    sooner, and does not fill the memory. Another spelling of the same token is another token.
    """

    __slots__ = ("_cold", "_half", "_hot", "_room")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._hot: dict[bytes, _Entry] = {}
        self._cold: dict[bytes, _Entry] = {}
        self._room = self._half * BYTES_PER_TOKEN

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def recall(self, digest: bytes, *, clocks: Clocks) -> Principal | None:
        """The principal of the token with this digest if it may still be used."""
        entry = self._hot.get(digest)
        if entry is None:
            entry = self._cold.get(digest)
            if entry is None:
                return None
            self._insert(digest, entry=entry)
        realm = entry.realm
        if (
            entry.principal.expires_at > clocks.wall()
            and entry.epoch == realm.epoch
            and clocks.monotonic() < realm.renew_at
        ):
            return entry.principal
        return None

    def remember(self, digest: bytes, *, principal: Principal, realm: TrustedRealm, epoch: int) -> None:
        """Keep a token that was just verified in full; `epoch` is the realm's when the verification began."""
        size = size_of(principal)
        if size <= self._half * BYTES_PER_TOKEN:
            self._insert(digest, entry=_Entry(principal, realm, epoch, size))

    def _insert(self, digest: bytes, *, entry: _Entry) -> None:
        self._room -= entry.size
        if len(self._hot) >= self._half or self._room < 0:
            self._cold, self._hot = self._hot, {}
            self._room = self._half * BYTES_PER_TOKEN - entry.size
        self._hot[digest] = entry


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
