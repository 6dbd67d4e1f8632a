"""How tenants and role mappings look on the wire of the admin plane. Reads and writes are different classes."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from tenants_api.api.admin.fields import Claims, ExternalId, Identifier, Metadata, Name, Reason, Slug, absent
from tenants_api.api.admin.wire_realms import ConditionOut, RealmIn, RealmOut
from tenants_api.api.wire import PlainText, Time, WireIn, WireOut
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health

# Worst first: a tenant is as healthy as its worst realm in service.
_WORST_FIRST = (Health.FAILING, Health.DEGRADED, Health.UNKNOWN, Health.HEALTHY)


class RuleIn(WireIn):
    """One line of a role mapping: who bears `value` in `from` gets `role`."""

    model_config = ConfigDict(populate_by_name=False)

    source: Annotated[PlainText, Field(max_length=300, pattern="^(realm|group|scope|client:.+)$")] = Field(
        alias="from", examples=["realm"], description="realm, client:<client_id>, group or scope"
    )
    value: Annotated[PlainText, Field(min_length=1, max_length=300, examples=["orders-editors"])]
    role: Annotated[PlainText, Field(min_length=1, max_length=100, examples=["editor"])]


Rules = Annotated[list[RuleIn], Field(max_length=200)]
Realms = Annotated[list[RealmIn], Field(max_length=20)]


class TenantIn(WireIn):
    """A new tenant. `when_ready` leaves it a draft if a check fails, `now` then stores nothing, `never` only checks."""

    slug: Slug
    name: Name
    external_id: ExternalId | None = None
    realms: Realms
    role_mapping: Rules = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    activate: Literal["when_ready", "now", "never"] = "when_ready"


class TenantPut(WireIn):
    """What a tenant shall be, all of it: what is left out is emptied. Realms that stay keep their ids."""

    slug: Slug | None = Field(default=None, description="the one in the path if left out")
    name: Name
    external_id: ExternalId | None = None
    realms: Realms
    role_mapping: Rules = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    activate: Literal["when_ready", "never"] = "when_ready"


class TenantPatch(WireIn):
    """A merge patch (RFC 7396): what is left out stays, null empties; `metadata` is merged, `role_mapping` replaced."""

    name: Name = Field(default_factory=absent)
    external_id: ExternalId | None = None
    metadata: Metadata | None = None
    role_mapping: Rules | None = None


class TransitionIn(WireIn):
    """Why; it goes to the audit trail."""

    reason: Reason | None = None


class RuleOut(WireOut):
    source: str = Field(serialization_alias="from", examples=["realm"])
    value: str
    role: str


class TenantOut(WireOut):
    """A tenant. `state` is what the admin wants; `health` is what is observed: the worst of its enabled realms.

    `conditions` are those of its first realm; every realm has its own.
    """

    id: uuid.UUID
    slug: str
    name: str
    external_id: str | None
    state: str = Field(examples=["active"], description="draft, active, suspended or deleted")
    health: str = Field(examples=["healthy"], description="unknown, healthy, degraded or failing")
    conditions: list[ConditionOut]
    realms: list[RealmOut]
    role_mapping: list[RuleOut]
    metadata: dict[str, Any]
    version: int
    created_at: Time
    updated_at: Time


class PreviewIn(WireIn):
    """The claims of an access token, as a realm would write them."""

    claims: Claims = Field(examples=[{"realm_access": {"roles": ["orders-editors"]}}])


class PreviewOut(WireOut):
    """The roles that the claims give, and the rules that matched."""

    roles: list[str]
    matched: list[RuleOut]


class IssuerCheckIn(WireIn):
    """A realm that is not registered: its issuer, or where it is reached."""

    issuer: Annotated[PlainText, Field(min_length=1, max_length=600)] | None = None
    realm_url: Annotated[PlainText, Field(min_length=1, max_length=600)] | None = None
    client_id: Identifier | None = None
    sample_token: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None


class ReportOut(WireOut):
    """The outcome of the checks of a realm that is not registered; nothing of it is stored."""

    ready: bool
    suggested_issuer: str | None
    conditions: list[ConditionOut]


class RealmChecks(WireOut):
    id: uuid.UUID
    issuer: str
    enabled: bool
    health: str
    conditions: list[ConditionOut]


class ChecksOut(WireOut):
    """The last checks of every realm of a tenant. `ready`: every enabled realm is."""

    ready: bool
    health: str
    conditions: list[ConditionOut]
    realms: list[RealmChecks]


def tenant_out(tenant: Tenant) -> TenantOut:
    """A tenant whose relations are loaded."""
    realms = [RealmOut.model_validate(realm) for realm in tenant.realms]
    return TenantOut(
        id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        external_id=tenant.external_id,
        state=tenant.state,
        health=health_of(tenant),
        conditions=realms[0].conditions if realms else [],
        realms=realms,
        role_mapping=[RuleOut.model_validate(rule) for rule in tenant.role_rules],
        metadata=tenant.metadata_,
        version=tenant.version,
        created_at=tenant.created_at,
        updated_at=tenant.updated_at,
    )


def checks_out(tenant: Tenant) -> ChecksOut:
    """What the last checks of a tenant found."""
    realms = [RealmChecks.model_validate(realm) for realm in tenant.realms]
    return ChecksOut(
        ready=is_ready(tenant),
        health=health_of(tenant),
        conditions=realms[0].conditions if realms else [],
        realms=realms,
    )


def health_of(tenant: Tenant) -> str:
    """The worst health of the tenant's enabled realms."""
    seen = {realm.health for realm in tenant.realms if realm.enabled}
    return next((str(health) for health in _WORST_FIRST if health in seen), str(Health.UNKNOWN))


def is_ready(tenant: Tenant) -> bool:
    """Whether there is an enabled realm, and the last checks of every one ended well."""
    enabled = [realm for realm in tenant.realms if realm.enabled]
    ready = [realm for realm in enabled if any(c.type == "Ready" and c.status == "True" for c in realm.conditions)]
    return bool(enabled) and len(ready) == len(enabled)
