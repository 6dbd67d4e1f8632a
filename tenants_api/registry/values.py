"""What goes into the registry and comes out of it, as plain values. Knows no database."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from tenants_api.database.pagination import Page, PageRequest
from tenants_api.role_rules import RoleRule


class TenantState(StrEnum):
    """What the admin wants."""

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


# state → {transition: next state}. A restored tenant comes back suspended: an admin looks before it serves again.
TRANSITIONS: Mapping[TenantState, Mapping[Transition, TenantState]] = {
    TenantState.DRAFT: {Transition.ACTIVATE: TenantState.ACTIVE, Transition.DELETE: TenantState.DELETED},
    TenantState.ACTIVE: {Transition.SUSPEND: TenantState.SUSPENDED, Transition.DELETE: TenantState.DELETED},
    TenantState.SUSPENDED: {Transition.RESUME: TenantState.ACTIVE, Transition.DELETE: TenantState.DELETED},
    TenantState.DELETED: {Transition.RESTORE: TenantState.SUSPENDED},
}

CHANNEL = "tenants_api_registry"  # of NOTIFY; the payload is `<version> <tenant id>` and nothing else
KEPT_REJECTIONS = 100  # rows a tenant
SCOPES = ("tenants:read", "tenants:write", "keys:write", "audit:read")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: `api_key` (its id), `platform_user` (issuer and subject), `cli` or `system`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Change:
    """What the audit trail keeps beside a change: who, in which request, and why."""

    actor: Actor
    request_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmMembers:
    """What an admin sets of a realm and the verifier needs of it, in the order of the contract."""

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
    """A realm as an admin describes it, already checked for form (`onboarding.realm_draft`).

    What an admin sets and the verifier does not need is declared here. Each field is a column of `realms` and a member
    of the API's and the files' realms, by its name.
    """

    # `discovery`: the discovery document must state the issuer. `sample`: it need not, the tokens' `iss` alone counts.
    issuer_check: str = "discovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealmRow(RealmMembers):
    """What the verifier needs of a realm row."""

    id: uuid.UUID
    not_before: int


def names_of(kind: type[RealmMembers | TenantRow]) -> tuple[str, ...]:
    """The names of the fields in their order."""
    return tuple(one.name for one in fields(kind))


def frozen(value: Any) -> Any:
    """A list of JSON, which the values hold as a tuple; anything else as it is."""
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
    """One named check of a realm (`type`) with its outcome (`status`: True, False, Unknown) and a stable `reason`."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A realm's last known good key set as it was fetched, for this `issuer` at this `realm_url` and no other.

    Both are None for a set whose origin is not known; it is not used.
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
    """A tenant with its realms and rules as plain values. Of a purged one only the id is left, as state `deleted`."""

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
    """What refused tokens have in common. The texts are the sender's and say what he likes."""

    tenant_id: uuid.UUID
    reason: str
    kid: str = ""
    authorized_party: str = ""
    audience: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        told = [self.reason, self.kid, self.authorized_party, self.audience]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TenantFilter:
    """Which tenants to list; None means any. `q` is a part of slug or name."""

    state: TenantState | None = None
    health: Health | None = None
    issuer: str | None = None
    external_id: str | None = None
    q: str | None = None


__all__ = [
    "CHANNEL",
    "KEPT_REJECTIONS",
    "SCOPES",
    "TRANSITIONS",
    "Actor",
    "Change",
    "ConditionValue",
    "Health",
    "Page",
    "PageRequest",
    "RealmDraft",
    "RealmMembers",
    "RealmRow",
    "Refused",
    "StoredKeys",
    "TenantDraft",
    "TenantFilter",
    "TenantRow",
    "TenantState",
    "Transition",
    "frozen",
    "names_of",
]
