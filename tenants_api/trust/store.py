"""The registry in memory, kept fresh by the change feed. A request never waits for the database here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from tenants_api.errors import RateLimited
from tenants_api.registry.feed import ChangeFeed
from tenants_api.registry.storage import RegistryStorage
from tenants_api.registry.values import StoredKeys, TenantRow, TenantState
from tenants_api.trust.collector import resting_collector
from tenants_api.trust.health import HealthRecord
from tenants_api.trust.report import KeyInfo, KeyReport, epoch_time
from tenants_api.trust.rows import facts, trusted_realms
from tenants_api.trust.stored import StoredKeySets
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.errors import KeysUnavailable, Refusal
from tenants_api.verification.key_state import KeyPolicy
from tenants_api.verification.keys import KeyRing
from tenants_api.verification.realms import TrustedRealm
from tenants_api.verification.rings import KeyRings
from tenants_api.verification.snapshot import Snapshot
from tenants_api.verification.sources import Fetched, KeySource

MANUAL_COOLDOWN = 5.0  # seconds between two manual refreshes of one realm


Observer = Callable[[KeyRing, str], None]
log = structlog.get_logger("tenants_api.trust")


class Trust:
    """The snapshot, its change feed and the stored keys. Implements `RealmLookup`."""

    def __init__(
        self,
        storage: RegistryStorage,
        *,
        source: KeySource,
        keys: KeyPolicy,
        poll: float,
        clocks: Clocks,
        on_event: Observer,
        listen: str | None = None,
    ) -> None:
        self._storage, self._clocks, self._observe = storage, clocks, on_event
        self._snapshot = Snapshot()
        self._tenants: dict[uuid.UUID, TenantRow] = {}
        self._slugs: dict[str, uuid.UUID] = {}
        self._stored = StoredKeySets(storage, stale_limit=keys.stale_limit, clocks=clocks)
        self._health = HealthRecord(storage)
        self._refreshed: dict[uuid.UUID, float] = {}
        self._applying = asyncio.Lock()
        self.rings = KeyRings(
            source=source, policy=keys, clocks=clocks, on_new=self._stored.restore, on_event=self._key_event
        )
        self.feed = ChangeFeed(
            storage, interval=poll, on_change=self._apply_to, on_doubt=self._compare_all, listen=listen
        )
        self.version = -1

    @property
    def loaded(self) -> bool:
        """Whether the registry was read at least once."""
        return self.version >= 0

    def find(self, issuer: str, *, organization: Any = None) -> TrustedRealm | None:
        """See `RealmLookup`."""
        return self._snapshot.find(issuer, organization=organization)

    def tenant_by_slug(self, slug: str) -> TenantRow | None:
        """The tenant of this slug in any state but deleted."""
        tenant_id = self._slugs.get(slug)
        return self._tenants.get(tenant_id) if tenant_id is not None else None

    def realm_by_id(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        """A realm that tokens are accepted of now."""
        return self._snapshot.get(realm_id)

    @property
    def realm_count(self) -> int:
        """How many realms' tokens are read."""
        return len(self._snapshot)

    def tenants(self) -> list[TenantRow]:
        """All but the deleted ones; a list of its own, for metrics are read in another thread."""
        return list(self._tenants.values())

    async def load(self) -> None:
        """Read the whole registry and all stored keys; at start.

        Raises:
            StorageError: the database cannot be read.
        """
        with resting_collector():
            async with self._storage.read() as reading:
                version = await reading.current_version()
                tenants = await reading.load_all()
                stored = await reading.load_keys(None)
            self._stored.learn(stored)
            self._replace_all(tenants)
        self.version = version
        self.feed.loaded(version)

    async def refresh(self) -> None:
        """Look at the registry now; after a change of our own this worker is right at once."""
        await self.feed.poke()

    async def refresh_keys(self, realm_id: uuid.UUID) -> KeyReport:
        """Fetch a realm's keys and status now and share them with all replicas.

        Raises:
            RateLimited: the last manual refresh was less than five seconds ago.
            KeysUnavailable: the realm cannot be reached.
        """
        realm = self._snapshot.get(realm_id)
        if realm is None:
            raise KeysUnavailable(Refusal("key", "realm_not_active"))
        wait = self._refreshed.get(realm_id, -MANUAL_COOLDOWN) + MANUAL_COOLDOWN - self._clocks.monotonic()
        if wait > 0:
            raise RateLimited(
                f"the keys of this realm were refreshed less than {MANUAL_COOLDOWN:.0f} s ago",
                headers={"Retry-After": str(max(1, round(wait)))},
            )
        self._refreshed[realm_id] = self._clocks.monotonic()
        ring = self.rings.of(realm)
        failure = await ring.refresh()
        if failure is not None:
            raise KeysUnavailable(Refusal("key", failure), retry_after=MANUAL_COOLDOWN)
        self._stored.save(ring, tell=True)
        await self._stored.written()
        return self.key_report(realm_id)

    def key_report(self, realm_id: uuid.UUID) -> KeyReport:
        """The realm's keys as this worker holds them."""
        ring = self._ring(realm_id)
        if ring is None or ring.state.keys is None:
            return KeyReport((), None, None, None)
        keys = tuple(
            KeyInfo(
                key.kid, "/".join(sorted(key.algorithms)), "sig", epoch_time(key.first_seen), epoch_time(key.last_used)
            )
            for key in ring.state.keys.keys.values()
        )
        return KeyReport(keys, self._wall(ring.state.fetched_at), self._wall(ring.next_refresh), ring.state.source)

    def stored_at(self, realm_id: uuid.UUID) -> datetime | None:
        """When the keys were fetched that serve this realm when it cannot be reached; None if there are none."""
        ring = self.rings.find(realm_id)
        if ring is not None and ring.state.keys is not None:
            return self._wall(ring.state.fetched_at)
        return self._stored.fetched_at(realm_id)

    def adopt_keys(self, realm_id: uuid.UUID, *, fetched: Fetched, asked_at: datetime) -> None:
        """Take keys that onboarding has just fetched, so that the first token needs no fetch."""
        realm = self._snapshot.get(realm_id)
        if realm is not None:
            age = self._clocks.wall() - asked_at.timestamp()
            self.rings.of(realm).restore(
                fetched.jwks,
                age=max(0.0, age - 0.001),  # the same set was just stored: this one is live, and so the newer
                not_before=fetched.not_before or 0,
                enabled=fetched.enabled is not False,
                source="live",
            )

    async def aclose(self) -> None:
        """End what runs in the background; keys that are being stored are given a moment."""
        self.rings.cancel()
        await self._stored.written()
        await self._health.written()

    async def _apply_to(self, version: int) -> None:
        async with self._applying:
            if version == self.version:
                return
            async with self._storage.read() as reading:
                version = await reading.current_version()
                tenants = await reading.changed_since(self.version)
                stored = await reading.load_keys(_realm_ids(tenants))
            for tenant in tenants:
                self._put(tenant)
            self._learn(stored)
            if max((tenant.changed_version for tenant in tenants), default=-1) >= version:
                self.version = version
                return
        # Each version is the last change of a tenant, or of a later one: here a change is missing.
        await self._compare_all(version)

    async def _compare_all(self, version: int) -> None:
        """Changes may have passed unseen, or the database is another one: read every tenant, and all new keys."""
        async with self._applying:
            async with self._storage.read() as reading:
                version = await reading.current_version()
                tenants = await reading.load_all()
                differing = [tenant for tenant in tenants if self._tenants.get(tenant.id) != tenant]
                stored = await reading.load_keys(_realm_ids(differing))
            self._replace_all(tenants)
            self._learn(stored)
            self.version = version
        log.info("registry_compared", version=version, tenants=len(tenants), differing=len(differing))

    def _learn(self, stored: Sequence[StoredKeys]) -> None:
        self._stored.learn(stored)
        for keys in stored:
            if (ring := self.rings.find(keys.realm_id)) is not None:
                self._stored.restore(ring)

    def _replace_all(self, tenants: Iterable[TenantRow]) -> None:
        listed = {tenant.id: tenant for tenant in tenants}
        for tenant_id in self._tenants.keys() - listed.keys():
            self._remove(tenant_id)
        for tenant in listed.values():
            self._put(tenant)

    def _put(self, tenant: TenantRow) -> None:
        if tenant.state == TenantState.DELETED:
            self._remove(tenant.id)
            return
        before = self._tenants.get(tenant.id)
        if before is not None and before.slug != tenant.slug:
            self._free_slug(before)
        self._tenants[tenant.id] = tenant
        self._slugs[tenant.slug] = tenant.id
        trusted = {realm.id: realm for realm in trusted_realms(tenant)}
        for row in before.realms if before is not None else ():
            if row.id not in trusted:
                self._drop(row.id)
        for realm_id, realm in trusted.items():
            present = self._snapshot.get(realm_id)
            if present is None or facts(present) != facts(realm):
                self._snapshot.put(realm)

    def _remove(self, tenant_id: uuid.UUID) -> None:
        tenant = self._tenants.pop(tenant_id, None)
        if tenant is not None:
            self._free_slug(tenant)
            for realm in tenant.realms:
                self._drop(realm.id)

    def _free_slug(self, tenant: TenantRow) -> None:
        """Another tenant may have taken the slug within the same batch of changes."""
        if self._slugs.get(tenant.slug) == tenant.id:
            del self._slugs[tenant.slug]

    def _drop(self, realm_id: uuid.UUID) -> None:
        self._snapshot.remove(realm_id)
        self.rings.drop(realm_id)
        self._stored.forget(realm_id)
        self._health.forget(realm_id)

    def _ring(self, realm_id: uuid.UUID) -> KeyRing | None:
        realm = self._snapshot.get(realm_id)
        return self.rings.of(realm) if realm is not None else None

    def _key_event(self, ring: KeyRing, event: str) -> None:
        self._observe(ring, event)
        if self._snapshot.get(ring.realm.id) is None:
            return  # the realm left the registry while its keys were fetched
        self._health.note(ring)
        if event == "fetched":
            self._stored.save(ring)

    def _wall(self, monotonic: float) -> datetime:
        return datetime.fromtimestamp(self._clocks.wall() - (self._clocks.monotonic() - monotonic), UTC)


def _realm_ids(tenants: Iterable[TenantRow]) -> list[uuid.UUID]:
    return [realm.id for tenant in tenants for realm in tenant.realms]
