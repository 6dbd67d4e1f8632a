"""Where keys come from, as a key ring sees it: no HTTP, no Keycloak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tenants_api.verification.jwk import KeySet
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


@dataclass(frozen=True, slots=True)
class UsableKeys:
    """What a realm answered, once its keys were read and its status is known."""

    keys: KeySet
    not_before: int
    enabled: bool


class KeySource(Protocol):
    """Fetches the keys and the status of a realm. It bounds how many fetches run at once: rings only ask."""

    async def fetch(self, realm: TrustedRealm) -> Fetched:
        """Raises SourceFailed."""
