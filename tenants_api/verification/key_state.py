"""What is known of one realm's keys, and for how long it may serve."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenants_api.verification.jwk import KeySet


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds. After `lifetime` keys are fetched anew; until `stale_limit` old ones serve an unreachable realm."""

    lifetime: float = 300.0
    stale_limit: float = 86_400.0


@dataclass(slots=True)
class RingState:
    """What is known of a realm's keys now. Times are monotonic seconds; `source` is `live` or `stored`."""

    keys: KeySet | None = None
    jwks: bytes = b""
    fetched_at: float = 0.0
    source: str | None = None
    not_before: int = 0
    enabled: bool = True
    failures: int = 0
    last_failure: str | None = None
    fetches: int = field(default=0)
    took: float = 0.0  # seconds of the last fetch
