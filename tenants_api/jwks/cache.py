"""The key rings of all realms that were used lately, one for each realm."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from tenants_api.clocks import Clocks
from tenants_api.jwks.realm_keys import KeyOwner, KeyPolicy, KeySetEvent, KeySource, RealmKeys, UsableKeys


class JwksCache:
    """One ring per realm row: two realms with the same kid, or the same key, never stand in for each other."""

    def __init__(
        self,
        *,
        source: KeySource,
        policy: KeyPolicy,
        clocks: Clocks,
        on_new: Callable[[RealmKeys], None],
        on_event: KeySetEvent,
    ) -> None:
        self._source, self._policy, self._clocks = source, policy, clocks
        self._on_new, self._on_event = on_new, on_event
        self._jwks_cache: dict[uuid.UUID, RealmKeys] = {}

    def __iter__(self) -> Iterator[RealmKeys]:
        return iter(tuple(self._jwks_cache.values()))

    def in_flight(self) -> int:
        """Fetches that are under way."""
        return sum(ring.fetching for ring in self)

    def oldest_age(self) -> float:
        """Seconds since the oldest key set in use was fetched; 0 without any."""
        return max((age for ring in self if (age := ring.age) is not None), default=0.0)

    def find(self, realm_id: uuid.UUID) -> RealmKeys | None:
        """The ring of a realm that was used since start."""
        return self._jwks_cache.get(realm_id)

    def of(self, realm: KeyOwner) -> RealmKeys:
        """The ring of this realm; a realm that now is reached elsewhere gets a new, empty one."""
        ring = self._jwks_cache.get(realm.id)
        if ring is not None and ring.realm is realm:
            return ring
        if ring is None or self.follow(realm):
            ring = self._new(realm)
            self._on_new(ring)
        else:
            ring.realm = realm
            realm.renew_at = ring.next_refresh
        return ring

    def adopt(self, realm: KeyOwner, fetched: UsableKeys, *, age: float) -> None:
        """Give the ring of this realm keys that were just fetched.

        A new ring begins with them: what is stored is the same set as a rule, and would be parsed for nothing.
        """
        if self.find(realm.id) is not None:
            self.of(realm).adopt(fetched, age=age)
            return
        ring = self._new(realm)
        ring.adopt(fetched, age=age)
        self._on_new(ring)

    def _new(self, realm: KeyOwner) -> RealmKeys:
        ring = RealmKeys(realm, source=self._source, policy=self._policy, clocks=self._clocks, on_event=self._on_event)
        self._jwks_cache[realm.id] = ring
        return ring

    def follow(self, realm: KeyOwner) -> bool:
        """Let go of the ring of this realm if it was made for another issuer or URL; True when it was.

        Who waits for its fetch is told at once, and starts over with the realm as it is now.
        """
        ring = self._jwks_cache.get(realm.id)
        if ring is None or _same_target(ring.realm, other=realm):
            return False
        self.drop(realm.id)
        return True

    def drop(self, realm_id: uuid.UUID) -> None:
        """Forget a realm that left the registry."""
        ring = self._jwks_cache.pop(realm_id, None)
        if ring is not None:
            ring.cancel()

    def cancel(self) -> None:
        """End all fetches; for shutdown."""
        for ring in self._jwks_cache.values():
            ring.cancel()


def _same_target(realm: KeyOwner, *, other: KeyOwner) -> bool:
    return (realm.issuer, realm.realm_url, realm.ca_bundle) == (other.issuer, other.realm_url, other.ca_bundle)
