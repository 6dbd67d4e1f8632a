"""One rule of a tenant's role mapping, as registry, replica and verifier use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoleRule:
    """`source` is `realm`, `client:<client_id>`, `group` or `scope`; `value` must match exactly."""

    source: str
    value: str
    role: str
