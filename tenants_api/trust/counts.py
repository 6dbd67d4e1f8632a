"""How many tenants and realms are in which state and health, as this worker sees them; for metrics and status."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable

from tenants_api.registry.values import Health, TenantRow
from tenants_api.trust.health import health_of
from tenants_api.verification.keys import KeyRing

_WORSE = (Health.HEALTHY, Health.DEGRADED, Health.FAILING)


def realms_by_health(rings: Iterable[KeyRing]) -> dict[str, int]:
    """Realms that were used here: healthy, degraded, failing."""
    return {str(health): 0 for health in _WORSE} | Counter(str(health_of(ring)) for ring in rings)


def realms_by_health_and_source(rings: Iterable[KeyRing]) -> Counter[tuple[str, ...]]:
    """The same, and where the keys come from: `live`, `stored` or `none`."""
    return Counter((str(health_of(ring)), ring.state.source or "none") for ring in rings)


def tenants_by_state_and_health(tenants: Iterable[TenantRow], *, rings: Iterable[KeyRing]) -> Counter[tuple[str, ...]]:
    """Tenants by state and by the worst health of their realms that were used here; `unknown` where none was."""
    worst: dict[uuid.UUID, Health] = {}
    for health, tenant_id in sorted((_WORSE.index(health_of(ring)), ring.realm.tenant.id) for ring in rings):
        worst[tenant_id] = _WORSE[health]
    return Counter((tenant.state, str(worst.get(tenant.id, Health.UNKNOWN))) for tenant in tenants)
