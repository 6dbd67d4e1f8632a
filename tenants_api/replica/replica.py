"""The registry in memory, updated by the change feed. Requests do not wait for the database."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Any

import structlog

from tenants_api.clocks import Clocks
from tenants_api.database.errors import StorageError, cause_of
from tenants_api.errors import RateLimited
from tenants_api.jwks.cache import JwksCache
from tenants_api.jwks.realm_keys import KeyOwner, KeyPolicy, KeySource, RealmKeys, UsableKeys
from tenants_api.registry.values import StoredKeys, TenantRow, TenantState
from tenants_api.replica.feed import ChangeFeed
from tenants_api.replica.health import HealthRecord
from tenants_api.replica.register import Register, registry_fields, trusted_realms, trusted_rows
from tenants_api.replica.storage import RegistryStorage
from tenants_api.replica.stored_keys import KeyReport, StoredKeySets, key_report, wall_time
from tenants_api.tokens.errors import KeysUnavailable, Refusal
from tenants_api.tokens.realms import Snapshot, TrustedRealm


@contextmanager
def paused_collector() -> Iterator[None]:
    """Disable the garbage collector while the block runs: it would take half the time of loading the registry."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


CATCH_UP_SECONDS = 5.0  # that a committed change waits for this replica to read it
MANUAL_REFRESH_COOLDOWN_SECONDS = 5.0  # of one realm

Observer = Callable[[RealmKeys, str], None]
log = structlog.get_logger("tenants_api.replica")


class RegistryReplica:
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
        self._register = Register()
        self._stored = StoredKeySets(storage, stale_limit=keys.stale_limit, clocks=clocks)
        self._health = HealthRecord(storage)
        self._refreshed: dict[uuid.UUID, float] = {}
        self._applying = asyncio.Lock()
        self.jwks_cache = JwksCache(
            source=source, policy=keys, clocks=clocks, on_new=self._stored.restore, on_event=self._key_event
        )
        self.feed = ChangeFeed(
            storage,
            interval=poll,
            on_change=self._apply_to,
            on_resync=self._compare_all,
            listen=listen,
            clock=clocks.monotonic,
        )
        self.version = -1

    @property
    def loaded(self) -> bool:
        """Whether the registry was read at least once."""
        return self.version >= 0

    def find(self, issuer: str, *, organization: Any = None, tenant: str | None = None) -> TrustedRealm | None:
        """See `RealmLookup`. A realm of the register gets into the snapshot when it is first used."""
        realm = self._snapshot.find(issuer, organization=organization, tenant=tenant)
        if realm is None and (row := self._register.by_issuer(issuer)) is not None:
            self._put_in_snapshot(row)
            realm = self._snapshot.find(issuer, organization=organization, tenant=tenant)
        return realm

    def serves(self, issuer: str) -> bool:
        """See `RealmLookup`."""
        return self._snapshot.serves(issuer)

    def tenant_by_slug(self, slug: str) -> TenantRow | None:
        """The tenant of this slug, in any state but deleted."""
        return self._register.by_slug(slug)

    def realm_by_id(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        """A realm that was used since the start, as it is now."""
        return self._snapshot.get(realm_id)

    def tenant_of(self, realm_id: uuid.UUID) -> TenantRow | None:
        """The tenant of a realm that the verifier knows."""
        return self._register.by_realm(realm_id)

    @property
    def realm_count(self) -> int:
        """How many realms the verifier knows."""
        return self._register.realm_count

    @property
    def states(self) -> Mapping[str, int]:
        """How many tenants are in which state, without deleted ones."""
        return self._register.states

    async def check_readable(self) -> None:
        """Read the first tenants and key sets, and discard them. Raises StorageError."""
        async with self._storage.read() as reading:
            await reading.current_version()
            async with aclosing(reading.load_all()) as tenants, aclosing(reading.load_all_keys()) as stored:
                await anext(tenants, None)
                await anext(stored, None)

    async def load(self) -> None:
        """Read the whole registry and all stored keys. Raises StorageError."""
        with paused_collector():
            async with self._storage.read() as reading:
                version = await reading.current_version()
                self._share(await reading.organization_issuers(-1))
                async for tenants in reading.load_all():
                    for tenant in tenants:
                        self._put(tenant)
                async for stored in reading.load_all_keys():
                    self._stored.learn(stored)
        self.version = version
        self.feed.loaded(version)

    async def refresh(self) -> None:
        """Poll the registry now. Raises StorageError."""
        await self.feed.poll()

    async def catch_up(self) -> None:
        """Read a change that is committed; a failure is logged, and the change feed reads it later.

        Does nothing in a process that has not loaded the registry.
        """
        if not self.loaded:
            return
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self.refresh()
        except (StorageError, OSError, TimeoutError) as error:
            log.warning("registry_not_read", error=cause_of(error))
        except Exception as error:
            log.exception("registry_not_applied", error=type(error).__name__)

    async def refresh_keys(self, realm_id: uuid.UUID) -> KeyReport:
        """Fetch a realm's keys and status now, and share them with all replicas.

        Raises:
            RateLimited: the last manual refresh was less than five seconds ago.
            KeysUnavailable: the realm cannot be reached.
        """
        realm = self._realm(realm_id)
        if realm is None:
            raise KeysUnavailable(Refusal("key", "realm_not_active"))
        wait = (
            self._refreshed.get(realm_id, -MANUAL_REFRESH_COOLDOWN_SECONDS)
            + MANUAL_REFRESH_COOLDOWN_SECONDS
            - self._clocks.monotonic()
        )
        if wait > 0:
            raise RateLimited(
                f"the keys of this realm were refreshed less than {MANUAL_REFRESH_COOLDOWN_SECONDS:.0f} s ago",
                headers={"Retry-After": str(max(1, round(wait)))},
            )
        self._refreshed[realm_id] = self._clocks.monotonic()
        realm_keys = self.jwks_cache.of(realm)
        failure = await realm_keys.refresh()
        if failure is not None:
            raise KeysUnavailable(Refusal("key", failure), retry_after=MANUAL_REFRESH_COOLDOWN_SECONDS)
        if self.jwks_cache.find(realm_id) is not realm_keys:  # removed, or changed its issuer or URL, during the fetch
            raise KeysUnavailable(Refusal("key", "realm_changed"))
        self._stored.save(realm_keys, notify=True)
        await self._stored.written()
        await self.catch_up()
        return self.key_report(realm_id)

    def key_report(self, realm_id: uuid.UUID) -> KeyReport:
        """The realm's keys in this worker."""
        realm = self._realm(realm_id)
        return key_report(self.jwks_cache.of(realm) if realm is not None else None, clocks=self._clocks)

    def stored_at(self, realm_id: uuid.UUID, *, issuer: str, realm_url: str) -> datetime | None:
        """When the last good keys of this issuer and URL were fetched; None without any."""
        realm_keys = self.jwks_cache.find(realm_id)
        if (
            realm_keys is not None
            and realm_keys.state.keys is not None
            and _is_of(realm_keys.realm, issuer=issuer, realm_url=realm_url)
        ):
            return wall_time(realm_keys.state.fetched_at, clocks=self._clocks)
        return self._stored.fetched_at(realm_id, issuer=issuer, realm_url=realm_url)

    def adopt_keys(
        self, realm_id: uuid.UUID, *, issuer: str, realm_url: str, fetched: UsableKeys, asked_at: datetime
    ) -> None:
        """Use keys that were just fetched, so that the first token needs no fetch.

        Ignored when the realm has another issuer or URL by now.
        """
        realm = self._realm(realm_id)
        if realm is not None and _is_of(realm, issuer=issuer, realm_url=realm_url):
            age = self._clocks.wall() - asked_at.timestamp()
            # A millisecond newer than the stored copy of the same set: this one is live.
            self.jwks_cache.adopt(realm, fetched, age=max(0.0, age - 0.001))

    def note_keys(self, keys: StoredKeys, *, issuer: str, realm_url: str, fetched: UsableKeys) -> None:
        """Use keys that the reconciler fetched: at once for a realm in use, at the first use for an idle one."""
        if self.jwks_cache.find(keys.realm_id) is not None:
            self.adopt_keys(
                keys.realm_id, issuer=issuer, realm_url=realm_url, fetched=fetched, asked_at=keys.fetched_at
            )
        elif self._register.by_realm(keys.realm_id) is not None:
            self._stored.learn([keys])

    async def aclose(self) -> None:
        """Cancel fetches, and wait briefly for writes of keys and health."""
        self.jwks_cache.cancel()
        await self._stored.written()
        await self._health.written()

    async def _apply_to(self, version: int) -> None:
        async with self._applying:
            if version == self.version:
                return
            async with self._storage.read() as reading:
                version = await reading.current_version()
                tenants = await reading.changed_since(self.version)
                shared = await reading.organization_issuers(self.version)
                stored = await reading.load_keys(_realm_ids(tenants))
            self._share(shared)
            for tenant in tenants:
                self._put(tenant)
            self._learn(stored)
            if max((tenant.changed_version for tenant in tenants), default=-1) >= version:
                self.version = version
                return
        # The version is always the last change of some tenant: a change is missing.
        await self._compare_all(version)

    async def _compare_all(self, version: int) -> None:
        """Read every tenant, and the keys of those that differ: changes may be missing, or the database another one."""
        async with self._applying:
            removed, count = self._register.tenant_ids(), 0
            differing: list[TenantRow] = []
            async with self._storage.read() as reading:
                version = await reading.current_version()
                shared = await reading.organization_issuers(-1)
                async for tenants in reading.load_all():
                    count += len(tenants)
                    removed.difference_update(tenant.id.int for tenant in tenants)
                    differing += [tenant for tenant in tenants if not self._register.holds(tenant)]
                stored = await reading.load_keys(_realm_ids(differing))
            self._share(shared)
            for tenant_id in removed:
                self._remove(uuid.UUID(int=tenant_id))
            for tenant in differing:
                self._put(tenant)
            self._learn(stored)
            self.version = version
        log.info("registry_compared", version=version, tenants=count, differing=len(differing))

    def _share(self, issuers: Iterable[str]) -> None:
        for issuer in issuers:
            self._snapshot.share(issuer)

    def _learn(self, stored: Sequence[StoredKeys]) -> None:
        for realm_id in self._stored.learn(stored):
            if (realm_keys := self.jwks_cache.find(realm_id)) is not None:
                self._stored.restore(realm_keys)

    def _put(self, tenant: TenantRow) -> None:
        if tenant.state == TenantState.DELETED:
            self._remove(tenant.id)
            return
        before = self._register.put(tenant)
        if before is not None:
            trusted = {realm.id for realm in trusted_rows(tenant)}
            for realm in before.realms:
                if realm.id not in trusted:
                    self._drop(realm.id)
        if any(self._snapshot.get(realm.id) or realm.organization is not None for realm in trusted_rows(tenant)):
            self._put_in_snapshot(tenant)

    def _put_in_snapshot(self, tenant: TenantRow) -> None:
        """Add this tenant's realms to the snapshot, or replace those that changed.

        Organizations of a shared issuer are always there: a token may name any of them.
        """
        for realm in trusted_realms(tenant):
            present = self._snapshot.get(realm.id)
            if present is None or registry_fields(present) != registry_fields(realm):
                self._snapshot.put(realm)
                if self.jwks_cache.follow(realm):
                    self._health.forget(realm.id)

    def _remove(self, tenant_id: uuid.UUID) -> None:
        tenant = self._register.remove(tenant_id)
        for realm in tenant.realms if tenant is not None else ():
            self._drop(realm.id)

    def _drop(self, realm_id: uuid.UUID) -> None:
        self._snapshot.remove(realm_id)
        self.jwks_cache.drop(realm_id)
        self._stored.forget(realm_id)
        self._health.forget(realm_id)

    def _realm(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        if (tenant := self._register.by_realm(realm_id)) is not None:
            self._put_in_snapshot(tenant)
        return self._snapshot.get(realm_id)

    def _key_event(self, realm_keys: RealmKeys, event: str) -> None:
        self._observe(realm_keys, event)
        if self.jwks_cache.find(realm_keys.realm.id) is not realm_keys:
            return  # the realm was removed, or changed its issuer or URL, during the fetch
        realm = self._snapshot.get(realm_keys.realm.id)
        if realm is not None:
            self._health.note(realm_keys, tenant=realm.tenant.slug)
        if event == "fetched":
            self._stored.save(realm_keys)


def _is_of(realm: KeyOwner, *, issuer: str, realm_url: str) -> bool:
    return (realm.issuer, realm.realm_url) == (issuer, realm_url)


def _realm_ids(tenants: Iterable[TenantRow]) -> list[uuid.UUID]:
    return [realm.id for tenant in tenants for realm in tenant.realms]
