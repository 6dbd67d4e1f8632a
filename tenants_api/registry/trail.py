"""What the audit trail keeps of a change. No SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenants_api.registry.values import Actor, Change, Health

OBSERVER = Change(Actor("system", "tenants-api"))
HEALTH_CHANGED = "realm.health_changed"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Only what differs of both."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        "before": {name: before[name] for name in names if name in before},
        "after": {name: after[name] for name in names if name in after},
    }


def health_words(health: Health, *, reason: str | None) -> dict[str, Any]:
    """A health that was observed, and why."""
    return {"health": str(health), "reason": reason}
