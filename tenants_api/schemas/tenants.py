"""Schemas of tenants, realms and rejections, and their conversion to drafts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, computed_field

from tenants_api.control.drafts import Vocabulary, realm_draft
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.outbound.targets import TargetPolicy
from tenants_api.registry.models import Rejection, Tenant
from tenants_api.registry.values import Health, RealmDraft, TenantDraft
from tenants_api.role_rules import RoleRule
from tenants_api.schemas.base import (
    ClientId,
    ExternalId,
    Metadata,
    Name,
    PlainText,
    RequestModel,
    ResponseModel,
    Slug,
    Time,
    Url,
)

Activate = Literal["when_ready", "now", "never"]
IssuerCheckMode = Literal["discovery", "sample"]
_ISSUER_CHECK = (
    "`discovery`: the discovery document must state the issuer; `sample`: it need not, for a Keycloak that states the "
    "URL at which it is reached (no KC_HOSTNAME)"
)

_BY_HEALTH = (Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.FAILING)  # from the best to the worst

Issuer = Annotated[Url, Field(description="exactly the `iss` of the realm's tokens")]
OurClient = Annotated[ClientId, Field(description="this API's client in the realm")]


class RealmIn(RequestModel):
    """A realm as an admin describes it; omitted members get their defaults."""

    issuer: Issuer
    realm_url: Url | None = Field(default=None, description="where the realm is reached; the issuer if left out")
    organization: PlainText | None = Field(
        default=None, min_length=1, max_length=255, description="only this organization of the realm"
    )
    client_id: OurClient
    audiences: list[ClientId] | None = Field(
        default=None, min_length=1, max_length=20, description="one must be in `aud`; the client id if left out"
    )
    authorized_parties: list[ClientId] | None = Field(
        default=None, max_length=50, description="only tokens of these clients (`azp`); of any if left out"
    )
    algorithms: list[PlainText] | None = Field(
        default=None, min_length=1, max_length=12, examples=[["RS256"]], description="RS256 if left out"
    )
    login_client_id: ClientId | None = Field(default=None, description="public client for the password login route")
    docs_client_id: ClientId | None = Field(default=None, description="public client for the tenant's docs page")
    ca_bundle: str | None = Field(default=None, max_length=65_536, description="the realm's own CA, as PEM")
    enabled: bool = Field(default=True, description="whether its tokens are accepted")
    issuer_check: IssuerCheckMode = Field(default="discovery", description=_ISSUER_CHECK)


class RealmPatch(RealmIn):
    """A merge patch (RFC 7396) of a realm; null resets an optional member to its default."""

    issuer: Issuer = ""
    client_id: OurClient = ""


class RuleIn(RequestModel):
    """`from` is `realm`, `client:<client_id>`, `group` or `scope`; `value` is compared exactly.

    As in Keycloak, a client id may have any character but control characters, and no white space at its ends.
    """

    model_config = ConfigDict(populate_by_name=False)  # the contract's name is `from`

    source: PlainText = Field(
        alias="from", pattern=r"^(?:realm|group|scope|client:\S(?:.{0,253}\S)?)$", examples=["realm"]
    )
    value: PlainText = Field(min_length=1, max_length=300, examples=["tenant-editor"])
    role: PlainText = Field(min_length=1, max_length=100, examples=["editor"])


Rules = Annotated[list[RuleIn], Field(max_length=200)]


_PUBLISHED = "whether this tenant's protected resource metadata, with its issuers, is public (RFC 9728)"


_REALM = {"issuer": "https://id.example.com/realms/acme", "client_id": "tenants-api"}


class TenantFields(RequestModel):
    """The members of a tenant that an admin sets."""

    slug: Slug
    name: Name
    external_id: ExternalId | None = None
    realms: list[RealmIn] = Field(default=[], max_length=20, examples=[[_REALM]])
    role_mapping: Rules = Field(default=[])
    metadata: Metadata = Field(default={})
    resource_metadata: bool = Field(default=False, description=_PUBLISHED)


class TenantIn(TenantFields):
    """A new tenant."""

    activate: Activate = "when_ready"


class TenantPut(TenantIn):
    """The whole tenant; the default of `slug` is the one in the path."""

    slug: Slug | None = None  # type: ignore[assignment]  # required in the base class


class TenantPatch(RequestModel):
    """A merge patch (RFC 7396) of a tenant; `metadata` is merged member by member."""

    name: Name = ""
    external_id: ExternalId | None = None
    metadata: Metadata | None = None
    resource_metadata: bool = False
    role_mapping: Rules | None = None


class ConditionOut(ResponseModel):
    """The result of one check; `reason` is a stable code."""

    type: str = Field(examples=["IssuerMatches"])
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(examples=["IssuerMismatch"])
    message: str
    last_transition_time: Time


class RealmOut(ResponseModel):
    """A registered realm; `conditions` are the results of its last checks."""

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


class RuleOut(ResponseModel):
    source: str = Field(serialization_alias="from")
    value: str
    role: str


class TenantOut(ResponseModel):
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


class Reason(RequestModel):
    """A reason for the audit log."""

    reason: PlainText | None = Field(default=None, max_length=500)


def tenant_out(tenant: Tenant) -> TenantOut:
    """The response model of a tenant."""
    return TenantOut.model_validate(tenant)


def tenant_draft(body: TenantFields, *, vocabulary: Vocabulary, slug: str | None = None) -> TenantDraft:
    """The draft of the body; `slug` is used where the body has none. Raises ValidationFailed."""
    return TenantDraft(
        slug=body.slug or slug or "",
        name=body.name,
        external_id=body.external_id,
        realms=to_drafts(body.realms, policy=vocabulary.policy),
        role_mapping=to_rules(body.role_mapping, roles=vocabulary.roles),
        metadata=body.metadata,
        resource_metadata=body.resource_metadata,
    )


def to_draft(realm: RealmIn, *, policy: TargetPolicy) -> RealmDraft:
    """Check a realm's form. Raises ValidationFailed."""
    return realm_draft(policy=policy, **realm.model_dump())


def to_drafts(realms: Sequence[RealmIn], *, policy: TargetPolicy) -> tuple[RealmDraft, ...]:
    """Check all realms of a tenant. Raises ValidationFailed, also for a duplicate."""
    drafts: list[RealmDraft] = []
    for n, realm in enumerate(realms):
        try:
            draft = to_draft(realm, policy=policy)
        except ValidationFailed as failed:
            errors = [FieldError(f"/realms/{n}{error.pointer}", error.detail) for error in failed.errors]
            raise ValidationFailed(failed.detail, errors=errors) from failed
        if (draft.issuer, draft.organization) in [(one.issuer, one.organization) for one in drafts]:
            duplicate = FieldError(f"/realms/{n}/issuer", "duplicate realm: same issuer and organization")
            raise ValidationFailed(errors=[duplicate])
        drafts.append(draft)
    return tuple(drafts)


def to_rules(
    mapping: Sequence[RuleIn], *, roles: frozenset[str], prefix: str = "/role_mapping"
) -> tuple[RoleRule, ...]:
    """Check a role mapping. Raises ValidationFailed for a role that this application does not know."""
    unknown = [
        FieldError(f"{prefix}/{n}/role", f"must be one of {', '.join(sorted(roles))} (TENANTS_ROLES)")
        for n, rule in enumerate(mapping)
        if rule.role not in roles
    ]
    if unknown:
        raise ValidationFailed(errors=unknown)
    return tuple(RoleRule(rule.source, rule.value, rule.role) for rule in mapping)


class RejectionOut(ResponseModel):
    """Refused tokens with equal values, counted. `kid`, `azp` and `aud` are unverified."""

    reason: str = Field(examples=["wrong_audience"])
    kid: str | None
    azp: str | None
    aud: list[str]
    count: int
    time: Time = Field(description="of the last one")
    since: Time = Field(description="of the first one")


def rejection_out(row: Rejection) -> RejectionOut:
    """The response model of a row."""
    return RejectionOut(
        reason=row.reason,
        kid=row.kid,
        azp=row.authorized_party,
        aud=row.audience,
        count=row.count,
        time=row.last_at,
        since=row.first_at,
    )
