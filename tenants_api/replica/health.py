"""What is observed of each realm in use, written when it changes. It never changes a tenant's state."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import structlog

from tenants_api.database.errors import StorageError
from tenants_api.jwks.realm_keys import KeyOwner, RealmKeys
from tenants_api.observability.tasks import Background
from tenants_api.registry.values import Health, TenantState
from tenants_api.replica.storage import RegistryStorage
from tenants_api.tokens.realms import TrustedRealm

log = structlog.get_logger("tenants_api.replica")


class HealthRecord:
    """The health of every realm as this process last saw it."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._seen: dict[uuid.UUID, Health] = {}
        self._writing = Background()

    def note(self, realm_keys: RealmKeys, *, tenant: str) -> None:
        """Check a realm of the tenant with this slug after a fetch; a change is written and logged."""
        now = health_of(realm_keys)
        before = self._seen.get(realm_keys.realm.id)
        if now == before:
            return
        self._seen[realm_keys.realm.id] = now
        if before is not None or now != Health.HEALTHY:
            log.info(
                "realm_health_changed", issuer=realm_keys.realm.issuer, tenant=tenant, health=str(now),
                reason=reason_of(realm_keys),
            )  # fmt: skip
        self._writing.start(self._write(realm_keys.realm, now, reason=reason_of(realm_keys)))

    def forget(self, realm_id: uuid.UUID) -> None:
        self._seen.pop(realm_id, None)

    async def written(self) -> None:
        """Wait until everything is written, two seconds at most."""
        await self._writing.ended()

    async def _write(self, realm: KeyOwner, health: Health, *, reason: str | None) -> None:
        try:
            await self._storage.set_health(
                realm.id, issuer=realm.issuer, realm_url=realm.realm_url, health=health, reason=reason
            )
        except StorageError as error:
            self._seen.pop(realm.id, None)  # the next fetch tries again
            log.warning("health_not_stored", realm_id=str(realm.id), error=error.cause)


def health_of(realm_keys: RealmKeys) -> Health:
    """Healthy with keys from the last try, degraded with older ones, failing without any or when disabled."""
    if not realm_keys.usable or not realm_keys.state.enabled:
        return Health.FAILING
    return Health.HEALTHY if realm_keys.state.last_failure is None else Health.DEGRADED


def reason_of(realm_keys: RealmKeys) -> str | None:
    """Why it is not healthy: a stable reason as the conditions have them."""
    return "RealmDisabled" if not realm_keys.state.enabled else realm_keys.state.last_failure


_WORSE = (Health.HEALTHY, Health.DEGRADED, Health.FAILING)


def realms_by_health(jwks_cache: Iterable[RealmKeys]) -> dict[str, int]:
    """Realms that were used here: healthy, degraded, failing."""
    return {str(health): 0 for health in _WORSE} | Counter(str(health_of(realm_keys)) for realm_keys in jwks_cache)


def realms_by_health_and_source(jwks_cache: Iterable[RealmKeys]) -> Counter[tuple[str, ...]]:
    """The same, and where the keys come from: `live`, `stored` or `none`."""
    return Counter((str(health_of(realm_keys)), realm_keys.state.source or "none") for realm_keys in jwks_cache)


def tenants_by_state_and_health(
    states: Mapping[str, int],
    *,
    jwks_cache: Iterable[RealmKeys],
    realm_by_id: Callable[[uuid.UUID], TrustedRealm | None],
) -> Counter[tuple[str, ...]]:
    """Tenants by state and by the worst health of their realms that were used here; `unknown` where none was.

    `states` counts all tenants by their state; `realm_by_id` gives a realm that was used as it is now.
    """
    worst: dict[uuid.UUID, tuple[str, ...]] = {}
    for health, realm_id in sorted(
        (_WORSE.index(health_of(realm_keys)), realm_keys.realm.id) for realm_keys in jwks_cache
    ):
        if (realm := realm_by_id(realm_id)) is not None:
            state = TenantState.SUSPENDED if realm.suspended else TenantState.ACTIVE
            worst[realm.tenant.id] = (str(state), str(_WORSE[health]))
    used = Counter(state for state, _ in worst.values())
    counted: Counter[tuple[str, ...]] = Counter(
        {(state, str(Health.UNKNOWN)): count - used[state] for state, count in dict(states).items()}
    )
    counted.update(worst.values())
    return counted
