"""How many tenants and realms are in which state and health, as this worker sees them; for metrics and status."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from tenants_api.registry.values import Health, TenantState
from tenants_api.trust.health import health_of
from tenants_api.verification.keys import KeyRing
from tenants_api.verification.realms import TrustedRealm

_WORSE = (Health.HEALTHY, Health.DEGRADED, Health.FAILING)


def realms_by_health(rings: Iterable[KeyRing]) -> dict[str, int]:
    """Realms that were used here: healthy, degraded, failing."""
    return {str(health): 0 for health in _WORSE} | Counter(str(health_of(ring)) for ring in rings)


def realms_by_health_and_source(rings: Iterable[KeyRing]) -> Counter[tuple[str, ...]]:
    """The same, and where the keys come from: `live`, `stored` or `none`."""
    return Counter((str(health_of(ring)), ring.state.source or "none") for ring in rings)


def tenants_by_state_and_health(
    states: Mapping[str, int], *, rings: Iterable[KeyRing], realm_by_id: Callable[[uuid.UUID], TrustedRealm | None]
) -> Counter[tuple[str, ...]]:
    """Tenants by state and by the worst health of their realms that were used here; `unknown` where none was.

    `states` counts all tenants by their state; `realm_by_id` gives a realm that was used as it is now.
    """
    worst: dict[uuid.UUID, tuple[str, ...]] = {}
    for health, realm_id in sorted((_WORSE.index(health_of(ring)), ring.realm.id) for ring in rings):
        if (realm := realm_by_id(realm_id)) is not None:
            state = TenantState.SUSPENDED if realm.suspended else TenantState.ACTIVE
            worst[realm.tenant.id] = (str(state), str(_WORSE[health]))
    used = Counter(state for state, _ in worst.values())
    counted: Counter[tuple[str, ...]] = Counter(
        {(state, str(Health.UNKNOWN)): count - used[state] for state, count in dict(states).items()}
    )
    counted.update(worst.values())
    return counted
