"""What is known of one realm's keys, and for how long it may serve."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tenants_api.verification.jwk import KeySet

FIRST_PATIENCE = 6.0  # seconds that a request waits for keys without which it cannot be answered


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds. After `lifetime` keys are fetched anew; until `stale_limit` old ones serve an unreachable realm."""

    lifetime: float = 300.0
    stale_limit: float = 86_400.0


@dataclass(slots=True)
class RingState:
    """What is known of a realm's keys now. Times are monotonic seconds; `source` is `live` or `stored`."""

    keys: KeySet | None = None
    fetched_at: float = 0.0
    source: str | None = None
    not_before: int = 0
    enabled: bool = True
    failures: int = 0
    last_failure: str | None = None
    fetches: int = field(default=0)
    took: float = 0.0  # seconds of the last fetch


def loop_time() -> float:
    """The event loop's own time, in which its timeouts are counted."""
    return asyncio.get_running_loop().time()


def left(until: float, *, most: float = FIRST_PATIENCE) -> float:
    """Seconds until then, `most` at most and never below zero."""
    return max(0.0, min(until - loop_time(), most))
