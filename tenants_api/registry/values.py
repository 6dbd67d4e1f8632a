"""The registry's plain values. Knows no database."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from tenants_api.role_rules import RoleRule


class TenantState(StrEnum):
    """The state that an admin chose."""

    DRAFT = "draft"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class Health(StrEnum):
    """What is observed of a realm; it never changes a state."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"


class Transition(StrEnum):
    """An explicit change of state."""

    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"
    RESTORE = "restore"


# state → {transition: next state}. A restored tenant is suspended until an admin resumes it.
TRANSITIONS: Mapping[TenantState, Mapping[Transition, TenantState]] = {
    TenantState.DRAFT: {Transition.ACTIVATE: TenantState.ACTIVE, Transition.DELETE: TenantState.DELETED},
    TenantState.ACTIVE: {Transition.SUSPEND: TenantState.SUSPENDED, Transition.DELETE: TenantState.DELETED},
    TenantState.SUSPENDED: {Transition.RESUME: TenantState.ACTIVE, Transition.DELETE: TenantState.DELETED},
    TenantState.DELETED: {Transition.RESTORE: TenantState.SUSPENDED},
}

CHANNEL = "tenants_api_registry"  # of NOTIFY; the payload is `<version> <tenant id>`
MAX_REJECTIONS_PER_TENANT = 100  # rows
SCOPES = ("tenants:read", "tenants:write", "keys:write", "audit:read")


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: `api_key` (its id), `platform_user` (issuer and subject), `cli` or `system`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Change:
    """The context of a change for the audit log."""

    actor: Actor
    request_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmMembers:
    """The members of a realm that an admin sets and the verifier needs, in the order of the contract."""

    issuer: str
    realm_url: str
    organization: str | None = None  # None is the whole realm
    client_id: str
    audiences: tuple[str, ...] = ()
    authorized_parties: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256",)
    login_client_id: str | None = None
    docs_client_id: str | None = None
    ca_bundle: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmDraft(RealmMembers):
    """A realm as an admin describes it, its form already checked (`control.drafts.realm_draft`).

    It adds the members that the verifier does not need. Each field is a column of `realms` and a member of realms in
    API and files, by its name.
    """

    # `discovery`: the discovery document must state the issuer. `sample`: only the tokens' `iss` must.
    issuer_check: str = "discovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmRow(RealmMembers):
    """A row of a realm with the members that the verifier needs."""

    id: uuid.UUID
    not_before: int


def names_of(kind: type[RealmMembers | TenantRow]) -> tuple[str, ...]:
    """The names of the fields in their order."""
    return tuple(one.name for one in fields(kind))


def frozen(value: Any) -> Any:
    """Convert a list to a tuple; return anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class TenantDraft:
    """A tenant as an admin describes it."""

    slug: str
    name: str
    external_id: str | None = None
    realms: tuple[RealmDraft, ...] = ()
    role_mapping: tuple[RoleRule, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    resource_metadata: bool = False


@dataclass(frozen=True, slots=True)
class ConditionValue:
    """The result of one check of a realm: `type` names it, `status` is True, False or Unknown, `reason` is stable."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class LearnedConditions:
    """What live traffic showed of a realm, while its tenant was as at `changed_version`."""

    realm_id: uuid.UUID
    changed_version: int
    conditions: tuple[ConditionValue, ...]


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A realm's last good key set, for the `issuer` and `realm_url` that it was fetched for and no others.

    Both are None for a set of unknown origin, which is not used.
    """

    realm_id: uuid.UUID
    jwks: bytes
    digest: str
    fetched_at: datetime
    not_before: int
    realm_enabled: bool
    issuer: str | None
    realm_url: str | None


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant with its realms and rules. A purged one has only its id, and the state `deleted`."""

    id: uuid.UUID
    slug: str
    name: str
    state: str
    changed_version: int
    resource_metadata: bool
    rules: tuple[RoleRule, ...]
    realms: tuple[RealmRow, ...]


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """The values by which refused tokens are counted. They are unverified."""

    tenant_id: uuid.UUID
    reason: str
    kid: str = ""
    authorized_party: str = ""
    audience: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        values = [self.reason, self.kid, self.authorized_party, self.audience]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TenantFilter:
    """Which tenants to list; None means any. `q` is a part of slug or name."""

    state: TenantState | None = None
    health: Health | None = None
    issuer: str | None = None
    external_id: str | None = None
    q: str | None = None
