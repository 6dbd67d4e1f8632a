"""The JWKS cache: the keys of all realms that were used since the start."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from tenants_api.clocks import Clocks
from tenants_api.jwks.realm_keys import KeyOwner, KeyPolicy, KeySetEvent, KeySource, RealmKeys, UsableKeys


class JwksCache:
    """One `RealmKeys` for each realm row: two realms with the same kid, or the same key, never replace each other."""

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
        """How many fetches are under way."""
        return sum(realm_keys.fetching for realm_keys in self)

    def oldest_age(self) -> float:
        """Seconds since the oldest key set in use was fetched; 0 without any."""
        return max((age for realm_keys in self if (age := realm_keys.age) is not None), default=0.0)

    def find(self, realm_id: uuid.UUID) -> RealmKeys | None:
        """The keys of a realm; None when it was not used since the start."""
        return self._jwks_cache.get(realm_id)

    def of(self, realm: KeyOwner) -> RealmKeys:
        """The keys of this realm; a realm whose issuer or URL changed gets new, empty ones."""
        realm_keys = self._jwks_cache.get(realm.id)
        if realm_keys is not None and realm_keys.realm is realm:
            return realm_keys
        if realm_keys is None or self.follow(realm):
            realm_keys = self._new(realm)
            self._on_new(realm_keys)
        else:
            realm_keys.realm = realm
            realm.renew_at = realm_keys.next_refresh
        return realm_keys

    def adopt(self, realm: KeyOwner, fetched: UsableKeys, *, age: float) -> None:
        """Give this realm keys that were just fetched."""
        if self.find(realm.id) is not None:
            self.of(realm).adopt(fetched, age=age)
            return
        realm_keys = self._new(realm)
        realm_keys.adopt(fetched, age=age)  # before the stored set, which is usually the same: it is not parsed then
        self._on_new(realm_keys)

    def _new(self, realm: KeyOwner) -> RealmKeys:
        realm_keys = RealmKeys(
            realm, source=self._source, policy=self._policy, clocks=self._clocks, on_event=self._on_event
        )
        self._jwks_cache[realm.id] = realm_keys
        return realm_keys

    def follow(self, realm: KeyOwner) -> bool:
        """Drop the keys of this realm if they are of another issuer or URL; True when they are.

        This ends a fetch; verifications that wait for it start again with the realm as it is now.
        """
        realm_keys = self._jwks_cache.get(realm.id)
        if realm_keys is None or _same_target(realm_keys.realm, other=realm):
            return False
        self.drop(realm.id)
        return True

    def drop(self, realm_id: uuid.UUID) -> None:
        """Drop the keys of a realm that left the registry."""
        realm_keys = self._jwks_cache.pop(realm_id, None)
        if realm_keys is not None:
            realm_keys.cancel()

    def cancel(self) -> None:
        """End all fetches; for shutdown."""
        for realm_keys in self._jwks_cache.values():
            realm_keys.cancel()


def _same_target(realm: KeyOwner, *, other: KeyOwner) -> bool:
    return (realm.issuer, realm.realm_url, realm.ca_bundle) == (other.issuer, other.realm_url, other.ca_bundle)
