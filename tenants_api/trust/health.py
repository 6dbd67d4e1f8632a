"""What is observed of each realm in use, written when it changes. It never changes a tenant's state."""

from __future__ import annotations

import uuid

import structlog

from tenants_api.database.errors import StorageError
from tenants_api.registry.storage import RegistryStorage
from tenants_api.registry.values import Health
from tenants_api.trust.background import Background
from tenants_api.verification.keys import KeyRing
from tenants_api.verification.realms import TrustedRealm

log = structlog.get_logger("tenants_api.trust")


class HealthRecord:
    """The health of every realm as this process last saw it."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._seen: dict[uuid.UUID, Health] = {}
        self._writing = Background()

    def note(self, ring: KeyRing) -> None:
        """Look at a ring after a fetch; a change is written and logged."""
        now = health_of(ring)
        before = self._seen.get(ring.realm.id)
        if now == before:
            return
        self._seen[ring.realm.id] = now
        if before is not None or now != Health.HEALTHY:
            log.info(
                "realm_health_changed", issuer=ring.realm.issuer, tenant=ring.realm.tenant.slug, health=str(now),
                reason=reason_of(ring),
            )  # fmt: skip
        self._writing.start(self._write(ring.realm, now, reason=reason_of(ring)))

    def forget(self, realm_id: uuid.UUID) -> None:
        self._seen.pop(realm_id, None)

    async def written(self) -> None:
        """Wait until everything is written, two seconds at most."""
        await self._writing.ended()

    async def _write(self, realm: TrustedRealm, health: Health, *, reason: str | None) -> None:
        try:
            await self._storage.set_health(
                realm.id, issuer=realm.issuer, realm_url=realm.realm_url, health=health, reason=reason
            )
        except StorageError as error:
            self._seen.pop(realm.id, None)  # the next fetch tries again
            log.warning("health_not_stored", realm_id=str(realm.id), error=error.cause)


def health_of(ring: KeyRing) -> Health:
    """Healthy with keys from the last try, degraded with older ones, failing without any or when disabled."""
    if not ring.usable or not ring.state.enabled:
        return Health.FAILING
    return Health.HEALTHY if ring.state.last_failure is None else Health.DEGRADED


def reason_of(ring: KeyRing) -> str | None:
    """Why it is not healthy: a stable reason as the conditions have them."""
    return "RealmDisabled" if not ring.state.enabled else ring.state.last_failure
