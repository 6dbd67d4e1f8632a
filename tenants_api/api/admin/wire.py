"""Wire models of tenants and realms, and the way from them to drafts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, computed_field

from tenants_api.api.admin.fields import ClientId, ExternalId, Metadata, Name, Slug, Url
from tenants_api.api.wire import PlainText, Time, WireIn, WireOut
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.keycloak.targets import TargetPolicy
from tenants_api.onboarding import realm_draft
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Health, RealmDraft, Rule

Activate = Literal["when_ready", "now", "never"]
IssuerCheckMode = Literal["discovery", "sample"]
_ISSUER_CHECK = (
    "`discovery`: the discovery document must state the issuer; `sample`: it need not, for a Keycloak that states the "
    "URL at which it is reached (no KC_HOSTNAME)"
)

# From the best to the worst: a tenant is as healthy as its worst realm in use.
_BY_HEALTH = (Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.FAILING)


class RealmIn(WireIn):
    """A realm as an admin describes it; what is left out follows from the rest."""

    issuer: Url
    realm_url: Url | None = None
    organization: PlainText | None = Field(default=None, min_length=1, max_length=255)
    client_id: ClientId
    audiences: list[ClientId] | None = Field(default=None, min_length=1, max_length=20)
    authorized_parties: list[ClientId] | None = Field(default=None, max_length=50)
    algorithms: list[PlainText] | None = Field(default=None, min_length=1, max_length=12, examples=[["RS256"]])
    login_client_id: ClientId | None = None
    docs_client_id: ClientId | None = None
    ca_bundle: str | None = Field(default=None, max_length=65_536)
    enabled: bool = True
    issuer_check: IssuerCheckMode = Field(default="discovery", description=_ISSUER_CHECK)


class RealmPatch(WireIn):
    """A merge patch (RFC 7396) of a realm; null takes an optional member back to its default."""

    issuer: Url = ""
    realm_url: Url | None = None
    organization: PlainText | None = Field(default=None, min_length=1, max_length=255)
    client_id: ClientId = ""
    audiences: list[ClientId] | None = Field(default=None, min_length=1, max_length=20)
    authorized_parties: list[ClientId] | None = Field(default=None, max_length=50)
    algorithms: list[PlainText] | None = Field(default=None, min_length=1, max_length=12)
    login_client_id: ClientId | None = None
    docs_client_id: ClientId | None = None
    ca_bundle: str | None = Field(default=None, max_length=65_536)
    enabled: bool = True
    issuer_check: IssuerCheckMode = Field(default="discovery", description=_ISSUER_CHECK)


class RuleIn(WireIn):
    """`from` is `realm`, `client:<client_id>`, `group` or `scope`; `value` is compared exactly.

    A client id may hold any character but control characters, as in Keycloak; white space not at its ends.
    """

    model_config = ConfigDict(populate_by_name=False)  # `source` is our name for it, not the contract's

    source: PlainText = Field(
        alias="from", pattern=r"^(?:realm|group|scope|client:\S(?:.{0,253}\S)?)$", examples=["realm"]
    )
    value: PlainText = Field(min_length=1, max_length=300, examples=["tenant-editor"])
    role: PlainText = Field(min_length=1, max_length=100, examples=["editor"])


Rules = Annotated[list[RuleIn], Field(max_length=200)]


_PUBLISHED = "whether everybody may read at which realms this tenant's tokens are issued (RFC 9728)"


class TenantIn(WireIn):
    """A new tenant."""

    slug: Slug
    name: Name
    external_id: ExternalId | None = None
    realms: list[RealmIn] = Field(default=[], max_length=20)
    role_mapping: Rules = Field(default=[])
    metadata: Metadata = Field(default={})
    resource_metadata: bool = Field(default=False, description=_PUBLISHED)
    activate: Activate = "when_ready"


class TenantPut(TenantIn):
    """The whole tenant; without `slug` the one in the path is meant."""

    slug: Slug | None = None  # type: ignore[assignment]  # the path may name it instead


class TenantPatch(WireIn):
    """A merge patch (RFC 7396) of a tenant; `metadata` is merged member by member."""

    name: Name = ""
    external_id: ExternalId | None = None
    metadata: Metadata | None = None
    resource_metadata: bool = False
    role_mapping: Rules | None = None


class ConditionOut(WireOut):
    """One named check with its outcome; `reason` is a stable code."""

    type: str = Field(examples=["IssuerMatches"])
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(examples=["IssuerMismatch"])
    message: str
    last_transition_time: Time


class RealmOut(WireOut):
    """A registered realm; `conditions` are its last checks."""

    id: uuid.UUID
    issuer: str
    realm_url: str
    organization: Annotated[str | None, BeforeValidator(lambda value: value or None)]
    client_id: str
    audiences: list[str]
    authorized_parties: list[str]
    algorithms: list[str]
    login_client_id: str | None
    docs_client_id: str | None
    ca_bundle: str | None
    enabled: bool
    issuer_check: str
    health: str
    conditions: list[ConditionOut]
    version: int
    created_at: Time
    updated_at: Time


class RuleOut(WireOut):
    source: str = Field(serialization_alias="from")
    value: str
    role: str


class TenantOut(WireOut):
    """A tenant. `health` is that of its worst realm in use, `conditions` those of its first realm."""

    id: uuid.UUID
    slug: str
    name: str
    external_id: str | None
    state: str
    realms: list[RealmOut]
    role_mapping: list[RuleOut] = Field(validation_alias="role_rules")
    metadata: dict[str, Any] = Field(validation_alias="metadata_")
    resource_metadata: bool
    version: int
    created_at: Time
    updated_at: Time

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented way
    @property
    def health(self) -> str:
        used = [Health(realm.health) for realm in self.realms if realm.enabled]
        return str(max(used, key=_BY_HEALTH.index, default=Health.UNKNOWN))

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented way
    @property
    def conditions(self) -> list[ConditionOut]:
        return self.realms[0].conditions if self.realms else []


class Reason(WireIn):
    """Why; kept in the audit trail."""

    reason: PlainText | None = Field(default=None, max_length=500)


def tenant_out(tenant: Tenant) -> TenantOut:
    """The answer for a tenant."""
    return TenantOut.model_validate(tenant)


def to_draft(realm: RealmIn, *, policy: TargetPolicy, prefix: str = "") -> RealmDraft:
    """Check a realm's form. Raises ValidationFailed, with pointers below `prefix`."""
    return draft_of(realm.model_dump(), policy=policy, prefix=prefix)


def draft_of(values: Mapping[str, Any], *, policy: TargetPolicy, prefix: str = "") -> RealmDraft:
    """As `to_draft`, for the members of a realm; None takes the default."""
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return realm_draft(policy=policy, **given)
    except ValidationFailed as failed:
        errors = [FieldError(prefix + error.pointer, error.detail) for error in failed.errors]
        raise ValidationFailed(failed.detail, errors=errors) from failed


def to_drafts(realms: Sequence[RealmIn], *, policy: TargetPolicy) -> tuple[RealmDraft, ...]:
    """Check several of one tenant. Raises ValidationFailed, also for one that stands there twice."""
    drafts = [to_draft(realm, policy=policy, prefix=f"/realms/{n}") for n, realm in enumerate(realms)]
    names = [(draft.issuer, draft.organization) for draft in drafts]
    for n, name in enumerate(names):
        if name in names[:n]:
            raise ValidationFailed(errors=[FieldError(f"/realms/{n}/issuer", "the same realm stands here twice")])
    return tuple(drafts)


def to_rules(mapping: Sequence[RuleIn], *, roles: frozenset[str], prefix: str = "/role_mapping") -> tuple[Rule, ...]:
    """Check a role mapping. Raises ValidationFailed for a role that this application does not know."""
    unknown = [
        FieldError(f"{prefix}/{n}/role", f"must be one of {', '.join(sorted(roles))}")
        for n, rule in enumerate(mapping)
        if rule.role not in roles
    ]
    if unknown:
        raise ValidationFailed(errors=unknown)
    return tuple(Rule(rule.source, rule.value, rule.role) for rule in mapping)
