"""The registry in memory, kept fresh by the change feed. A request never waits for the database here."""

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
from tenants_api.replica.register import Register, facts, trusted_realms, trusted_rows
from tenants_api.replica.storage import RegistryStorage
from tenants_api.replica.stored_keys import KeyReport, StoredKeySets, key_report, wall_time
from tenants_api.tokens.errors import KeysUnavailable, Refusal
from tenants_api.tokens.realms import Snapshot, TrustedRealm


@contextmanager
def resting_collector() -> Iterator[None]:
    """No collection while the block runs: what a start reads stays, and half of its time went into looking at it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


CATCH_UP_SECONDS = 5.0  # that a committed change waits for this replica to read it
MANUAL_COOLDOWN = 5.0  # seconds between two manual refreshes of one realm


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
        """See `RealmLookup`. A realm that is asked for the first time is taken out of the register."""
        realm = self._snapshot.find(issuer, organization=organization, tenant=tenant)
        if realm is None and (row := self._register.by_issuer(issuer)) is not None:
            self._wake(row)
            realm = self._snapshot.find(issuer, organization=organization, tenant=tenant)
        return realm

    def serves(self, issuer: str) -> bool:
        """See `RealmLookup`."""
        return self._snapshot.serves(issuer)

    def tenant_by_slug(self, slug: str) -> TenantRow | None:
        """The tenant of this slug in any state but deleted."""
        return self._register.by_slug(slug)

    def realm_by_id(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        """A realm that was asked for since start, as it is now."""
        return self._snapshot.get(realm_id)

    @property
    def realm_count(self) -> int:
        """How many realms' tokens are read."""
        return self._register.realm_count

    @property
    def states(self) -> Mapping[str, int]:
        """How many tenants are in which state; the deleted ones are left out."""
        return self._register.states

    async def look(self) -> None:
        """Read the first tenants and key sets and keep nothing: enough to see that the registry can be read.

        Raises:
            StorageError: it cannot.
        """
        async with self._storage.read() as reading:
            await reading.current_version()
            async with aclosing(reading.load_all()) as tenants, aclosing(reading.load_all_keys()) as stored:
                await anext(tenants, None)
                await anext(stored, None)

    async def load(self) -> None:
        """Read the whole registry and all stored keys; at start.

        Raises:
            StorageError: the database cannot be read.
        """
        with resting_collector():
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
        """Look at the registry now; after a change of our own this worker is right at once."""
        await self.feed.poll()

    async def catch_up(self) -> None:
        """Bring this replica up to a change that is committed.

        A failure is logged and left to the change feed, which looks again within its interval: it is never the answer
        to the change. A process that never loaded the registry has nothing to bring up.
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
        """Fetch a realm's keys and status now and share them with all replicas.

        Raises:
            RateLimited: the last manual refresh was less than five seconds ago.
            KeysUnavailable: the realm cannot be reached.
        """
        realm = self._realm(realm_id)
        if realm is None:
            raise KeysUnavailable(Refusal("key", "realm_not_active"))
        wait = self._refreshed.get(realm_id, -MANUAL_COOLDOWN) + MANUAL_COOLDOWN - self._clocks.monotonic()
        if wait > 0:
            raise RateLimited(
                f"the keys of this realm were refreshed less than {MANUAL_COOLDOWN:.0f} s ago",
                headers={"Retry-After": str(max(1, round(wait)))},
            )
        self._refreshed[realm_id] = self._clocks.monotonic()
        realm_keys = self.jwks_cache.of(realm)
        failure = await realm_keys.refresh()
        if failure is not None:
            raise KeysUnavailable(Refusal("key", failure), retry_after=MANUAL_COOLDOWN)
        if (
            self.jwks_cache.find(realm_id) is not realm_keys
        ):  # its issuer or URL was changed, or it left, while it was asked
            raise KeysUnavailable(Refusal("key", "realm_changed"))
        self._stored.save(realm_keys, tell=True)
        await self._stored.written()
        await self.catch_up()
        return self.key_report(realm_id)

    def key_report(self, realm_id: uuid.UUID) -> KeyReport:
        """The realm's keys as this worker holds them."""
        return key_report(self._ring(realm_id), clocks=self._clocks)

    def stored_at(self, realm_id: uuid.UUID, *, issuer: str, realm_url: str) -> datetime | None:
        """When the keys were fetched that serve this issuer at this URL when it cannot be reached; None without any."""
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
        """Take keys that were just fetched for this issuer at this URL, so that the first token needs no fetch.

        A realm that has another issuer or URL meanwhile does not take them.
        """
        realm = self._realm(realm_id)
        if realm is not None and _is_of(realm, issuer=issuer, realm_url=realm_url):
            age = self._clocks.wall() - asked_at.timestamp()
            # The same set was just stored: this one is live, and so the newer.
            self.jwks_cache.adopt(realm, fetched, age=max(0.0, age - 0.001))

    def note_keys(self, keys: StoredKeys, *, issuer: str, realm_url: str, fetched: UsableKeys) -> None:
        """Keys that were fetched without a token: a realm in use takes them, an idle one when it is asked for."""
        if self.jwks_cache.find(keys.realm_id) is not None:
            self.adopt_keys(
                keys.realm_id, issuer=issuer, realm_url=realm_url, fetched=fetched, asked_at=keys.fetched_at
            )
        elif self._register.by_realm(keys.realm_id) is not None:
            self._stored.learn([keys])

    async def aclose(self) -> None:
        """End what runs in the background; keys that are being stored are given a moment."""
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
        # Each version is the last change of a tenant, or of a later one: here a change is missing.
        await self._compare_all(version)

    async def _compare_all(self, version: int) -> None:
        """Changes may have passed unseen, or the database is another one: read every tenant, and all new keys."""
        async with self._applying:
            gone, count = self._register.numbers(), 0
            differing: list[TenantRow] = []
            async with self._storage.read() as reading:
                version = await reading.current_version()
                shared = await reading.organization_issuers(-1)
                async for tenants in reading.load_all():
                    count += len(tenants)
                    gone.difference_update(tenant.id.int for tenant in tenants)
                    differing += [tenant for tenant in tenants if not self._register.holds(tenant)]
                stored = await reading.load_keys(_realm_ids(differing))
            self._share(shared)
            for number in gone:
                self._remove(uuid.UUID(int=number))
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
            self._wake(tenant)

    def _wake(self, tenant: TenantRow) -> None:
        """Tokens of this tenant's realms are looked for from now on; what did not change is left alone.

        The organizations of a shared issuer are always awake: a token may name any of them.
        """
        for realm in trusted_realms(tenant):
            present = self._snapshot.get(realm.id)
            if present is None or facts(present) != facts(realm):
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
            self._wake(tenant)
        return self._snapshot.get(realm_id)

    def _ring(self, realm_id: uuid.UUID) -> RealmKeys | None:
        realm = self._realm(realm_id)
        return self.jwks_cache.of(realm) if realm is not None else None

    def _key_event(self, realm_keys: RealmKeys, event: str) -> None:
        self._observe(realm_keys, event)
        if self.jwks_cache.find(realm_keys.realm.id) is not realm_keys:
            return  # the realm left the registry, or got another issuer or URL, while its keys were fetched
        realm = self._snapshot.get(realm_keys.realm.id)
        if realm is not None:
            self._health.note(realm_keys, tenant=realm.tenant.slug)
        if event == "fetched":
            self._stored.save(realm_keys)


def _is_of(realm: KeyOwner, *, issuer: str, realm_url: str) -> bool:
    return (realm.issuer, realm.realm_url) == (issuer, realm_url)


def _realm_ids(tenants: Iterable[TenantRow]) -> list[uuid.UUID]:
    return [realm.id for tenant in tenants for realm in tenant.realms]
