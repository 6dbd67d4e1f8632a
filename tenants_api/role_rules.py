"""One rule of a tenant's role mapping: what the registry stores, the replica holds and the verifier applies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoleRule:
    """`source` is `realm`, `client:<client_id>`, `group` or `scope`; `value` must match exactly."""

    source: str
    value: str
    role: str
