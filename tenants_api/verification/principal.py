"""The verified caller. Nothing here can be changed after the verifier made it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class TenantRef:
    """The tenant that a principal belongs to; `id` never changes, slug and name may."""

    id: uuid.UUID
    slug: str
    name: str


class Principal(NamedTuple):
    """Who calls, for which tenant, with which mapped roles.

    Users are known by (tenant, subject): `subject` is unique within a realm only, and username and email can
    change (OpenID Connect Core section 5.7). What the token lacks is None. `expires_at` is epoch seconds, a fraction
    rounded down. `scope` is the token's own text.
    """

    tenant: TenantRef
    issuer: str
    organization: str | None
    subject: str
    roles: frozenset[str]
    username: str | None
    email: str | None
    email_verified: bool | None
    full_name: str | None
    authorized_party: str | None
    scope: str | None
    expires_at: int
    service_account: bool

    @property
    def scopes(self) -> tuple[str, ...]:
        """The words of `scope` (RFC 6749 section 3.3)."""
        # Made anew each time: a kept principal with two thousand words would be a hundred kilobytes.
        return tuple(filter(None, self.scope.split(" "))) if self.scope else ()
