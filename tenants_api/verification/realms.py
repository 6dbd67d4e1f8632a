"""What the verifier must know of a registered realm, and who tells it. The registry is behind `RealmLookup`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenants_api.role_rules import RoleRule
from tenants_api.verification.principal import TenantRef
from tenants_api.verification.roles import RoleTable

LIVING = frozenset({"epoch", "renew_at", "role_table"})


@dataclass(eq=False, slots=True)
class TrustedRealm:
    """One registered issuer, as the registry has it now.

    `LIVING` names what changes while it lives. `epoch` moves when tokens that were verified before must be verified
    anew (a key left the set, not-before moved, the registry row was replaced); cached principals remember the epoch
    they were made in. `renew_at` (monotonic seconds) is when its key ring wants to be asked again. `role_table` is
    made of `rules` at the first use.
    """

    id: uuid.UUID
    tenant: TenantRef
    issuer: str
    realm_url: str
    client_id: str
    audiences: frozenset[str]
    organization: str | None = None
    authorized_parties: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset({"RS256"})
    rules: tuple[RoleRule, ...] = ()
    ca_bundle: str | None = None
    not_before: int = 0
    suspended: bool = False
    login_client_id: str | None = None
    docs_client_id: str | None = None
    epoch: int = field(default=0)
    renew_at: float = field(default=0.0)
    role_table: RoleTable | None = field(default=None, init=False, repr=False)

    def forget_verified(self) -> None:
        """Every principal that was verified for this realm must be verified again."""
        self.epoch += 1


class RealmLookup(Protocol):
    """Finds the realm that a token claims to come from, out of memory, without any I/O."""

    def find(self, issuer: str, *, organization: Any = None, tenant: str | None = None) -> TrustedRealm | None:
        """The one realm registered under exactly this issuer (and organization claim), or None.

        `organization` is the token's claim as it is there, in any of Keycloak's three shapes. `tenant` is the slug
        in the request's path: it chooses among several registered organizations that the token names.

        Raises:
            InvalidToken: `unknown_organization`, the issuer has or had registered organizations and the token names
                none that serves now; `several_organizations`, it names more than one and the path chooses none of them.
        """

    def serves(self, issuer: str) -> bool:
        """Whether tokens of this issuer may be good; for one that names no organization it may need one."""
