"""What a key ring asks of the outside: one fetch of a realm's keys and status, and for how long keys may serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tenants_api.verification.realms import TrustedRealm


class SourceFailed(Exception):
    """The realm's keys could not be fetched; `reason` is a stable code (`Unreachable`, `HttpStatus`, …)."""

    def __init__(self, reason: str, *, message: str = "") -> None:
        self.reason = reason
        super().__init__(message or reason)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a realm answered: its JWKS, and its status where that could be read (None = could not)."""

    jwks: bytes
    not_before: int | None = None
    enabled: bool | None = None


class KeySource(Protocol):
    """Fetches the keys and the status of a realm."""

    async def fetch(self, realm: TrustedRealm) -> Fetched:
        """Raises SourceFailed."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds. After `lifetime` keys are fetched anew; until `stale_limit` old ones serve an unreachable realm."""

    lifetime: float = 300.0
    stale_limit: float = 86_400.0
