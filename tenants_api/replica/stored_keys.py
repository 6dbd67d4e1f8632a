"""The stored key sets: the last good keys of every realm, which replicas share through the database."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from tenants_api.clocks import Clocks
from tenants_api.database.errors import StorageError
from tenants_api.jwks.realm_keys import RealmKeys, UsableKeys
from tenants_api.observability.tasks import Background
from tenants_api.registry.values import StoredKeys
from tenants_api.replica.storage import RegistryStorage


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key of a realm as an admin sees it."""

    kid: str
    alg: str
    use: str
    first_seen: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A realm's keys as an admin sees them; `source` is `live`, `stored` or None (never fetched)."""

    keys: tuple[KeyInfo, ...]
    fetched_at: datetime | None
    next_refresh: datetime | None
    source: str | None


def key_report(realm_keys: RealmKeys | None, *, clocks: Clocks) -> KeyReport:
    """A report of a realm's keys; empty when none was ever fetched."""
    if realm_keys is None or realm_keys.state.keys is None:
        return KeyReport((), None, None, None)
    state = realm_keys.state
    keys = tuple(
        KeyInfo(key.kid, "/".join(sorted(key.algorithms)), "sig", _epoch(key.first_seen), _epoch(key.last_used))
        for key in realm_keys.state.keys.keys.values()
    )
    fetched, due = (wall_time(one, clocks=clocks) for one in (state.fetched_at, realm_keys.next_refresh))
    return KeyReport(keys, fetched, due, state.source)


def wall_time(monotonic: float, *, clocks: Clocks) -> datetime:
    """A moment of the monotonic clock as a UTC time."""
    return datetime.fromtimestamp(clocks.wall() - (clocks.monotonic() - monotonic), UTC)


def _epoch(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


_HEAD = struct.Struct("<dq?16s")  # of `_Known`; the key set follows
log = structlog.get_logger("tenants_api.replica")


class _Known(NamedTuple):
    """The stored key set of a realm."""

    fetched_at: datetime
    not_before: int
    enabled: bool
    origin: bytes
    jwks: bytes


class StoredKeySets:
    """Writes fetched key sets in the background, and restores stored ones.

    Each set, also of an idle realm, is one `bytes`, which the garbage collector does not traverse.
    """

    def __init__(self, storage: RegistryStorage, *, stale_limit: float, clocks: Clocks) -> None:
        self._storage, self._clocks = storage, clocks
        self._known: dict[int, bytes] = {}
        self._writing = Background()
        # An unchanged set is written again at this interval, so that its stored age stays correct.
        self._every = timedelta(seconds=min(3600.0, stale_limit / 10))

    def learn(self, stored: Iterable[StoredKeys]) -> list[uuid.UUID]:
        """Add sets from the database; returns the ids of the realms whose set changed."""
        found = {keys.realm_id: _packed(keys) for keys in stored}
        changed = [realm_id for realm_id, packed in found.items() if self._known.get(realm_id.int) != packed]
        self._known.update((realm_id.int, found[realm_id]) for realm_id in changed)
        return changed

    def forget(self, realm_id: uuid.UUID) -> None:
        self._known.pop(realm_id.int, None)

    def fetched_at(self, realm_id: uuid.UUID, *, issuer: str, realm_url: str) -> datetime | None:
        """When the stored set of this issuer and URL was fetched."""
        keys = self._of_realm(realm_id)
        return keys.fetched_at if keys is not None and keys.origin == _origin(issuer, realm_url) else None

    def restore(self, realm_keys: RealmKeys) -> None:
        """Use the stored keys of the same issuer and URL, if they are newer than the present ones."""
        keys = self._of_realm(realm_keys.realm.id)
        if keys is not None and keys.origin == _origin(realm_keys.realm.issuer, realm_keys.realm.realm_url):
            age = max(0.0, self._clocks.wall() - keys.fetched_at.timestamp())
            realm_keys.restore(keys.jwks, age=age, not_before=keys.not_before, enabled=keys.enabled)

    def save(self, realm_keys: RealmKeys, *, notify: bool = False) -> None:
        """Store fetched keys in the background; unchanged ones only with `notify`, to end the back-off of replicas."""
        keys, known = self._of(realm_keys), self._of_realm(realm_keys.realm.id)
        if keys is None or (
            not notify
            and known is not None
            and known[1:] == (keys.not_before, keys.realm_enabled, _origin(keys.issuer, keys.realm_url), keys.jwks)
            and keys.fetched_at - known.fetched_at < self._every
        ):
            return
        self._known[realm_keys.realm.id.int] = _packed(keys)
        self._writing.start(self._write(keys, notify=notify))

    async def written(self) -> None:
        """Wait for the writes under way, two seconds at most."""
        await self._writing.ended()

    def _of_realm(self, realm_id: uuid.UUID) -> _Known | None:
        packed = self._known.get(realm_id.int)
        if packed is None:
            return None
        fetched_at, not_before, enabled, origin = _HEAD.unpack_from(packed)
        return _Known(datetime.fromtimestamp(fetched_at, UTC), not_before, enabled, origin, packed[_HEAD.size :])

    def _of(self, realm_keys: RealmKeys) -> StoredKeys | None:
        state, realm = realm_keys.state, realm_keys.realm
        if state.keys is None:
            return None
        fetched_at = self._clocks.wall() - (self._clocks.monotonic() - state.fetched_at)
        return to_stored(
            realm.id, issuer=realm.issuer, realm_url=realm.realm_url,
            fetched=UsableKeys(state.keys, state.not_before, state.enabled),
            fetched_at=datetime.fromtimestamp(fetched_at, UTC),
        )  # fmt: skip

    async def _write(self, keys: StoredKeys, *, notify: bool) -> None:
        try:
            await self._storage.store_keys(keys, notify=notify)
        except StorageError as error:
            # The keys are used from memory; the next fetch stores them.
            self._known.pop(keys.realm_id.int, None)
            log.warning("keys_not_stored", realm_id=str(keys.realm_id), error=error.cause)


def to_stored(
    realm_id: uuid.UUID, *, issuer: str, realm_url: str, fetched: UsableKeys, fetched_at: datetime
) -> StoredKeys:
    """The row of fetched keys; `issuer` and `realm_url` are those that they were fetched for."""
    jwks = fetched.keys.compact
    return StoredKeys(
        realm_id=realm_id,
        jwks=jwks,
        digest=hashlib.sha256(jwks).hexdigest(),
        fetched_at=fetched_at,
        not_before=fetched.not_before,
        realm_enabled=fetched.enabled,
        issuer=issuer,
        realm_url=realm_url,
    )


def _packed(keys: StoredKeys) -> bytes:
    origin = _origin(keys.issuer, keys.realm_url)
    return _HEAD.pack(keys.fetched_at.timestamp(), keys.not_before, keys.realm_enabled, origin) + keys.jwks


def _origin(issuer: str | None, realm_url: str | None) -> bytes:
    """A digest of issuer and URL in sixteen bytes; that of an unknown origin equals no realm's."""
    return hashlib.blake2b(f"{issuer}\n{realm_url}".encode(), digest_size=16).digest()
