"""The health of each realm in use, stored when it changes. It never changes a tenant's state."""

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
    """The last health of every realm in this process."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._seen: dict[uuid.UUID, Health] = {}
        self._writing = Background()

    def note(self, realm_keys: RealmKeys, *, tenant: str) -> None:
        """Record the health of a realm after a fetch; a change is stored and logged. `tenant` is a slug."""
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
        """Wait for the writes under way, two seconds at most."""
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
    """Healthy after a successful fetch, degraded with older keys, failing without usable keys or when disabled."""
    if not realm_keys.usable or not realm_keys.state.enabled:
        return Health.FAILING
    return Health.HEALTHY if realm_keys.state.last_failure is None else Health.DEGRADED


def reason_of(realm_keys: RealmKeys) -> str | None:
    """Why a realm is not healthy, as a stable reason of the conditions."""
    return "RealmDisabled" if not realm_keys.state.enabled else realm_keys.state.last_failure


_WORSE = (Health.HEALTHY, Health.DEGRADED, Health.FAILING)


def realms_by_health(jwks_cache: Iterable[RealmKeys]) -> dict[str, int]:
    """How many of the used realms are healthy, degraded and failing."""
    return {str(health): 0 for health in _WORSE} | Counter(str(health_of(realm_keys)) for realm_keys in jwks_cache)


def realms_by_health_and_source(jwks_cache: Iterable[RealmKeys]) -> Counter[tuple[str, ...]]:
    """How many of the used realms have which health and which source of keys: `live`, `stored` or `none`."""
    return Counter((str(health_of(realm_keys)), realm_keys.state.source or "none") for realm_keys in jwks_cache)


def tenants_by_state_and_health(
    states: Mapping[str, int],
    *,
    jwks_cache: Iterable[RealmKeys],
    realm_by_id: Callable[[uuid.UUID], TrustedRealm | None],
) -> Counter[tuple[str, ...]]:
    """How many tenants are in which state, by the worst health of their used realms; `unknown` without any.

    `states` counts all tenants by state; `realm_by_id` returns a used realm as it is now.
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
