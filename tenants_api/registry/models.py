"""The tables of the registry. Relations are never loaded implicitly (`lazy="raise"`).

They have no row-level security, because they are read before a tenant is known.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tenants_api.database.engine import Base, UtcDateTime, utc_now
from tenants_api.ids import new_id
from tenants_api.registry.values import Health, TenantState

_STATES = ", ".join(f"'{state}'" for state in TenantState)
_HEALTH = ", ".join(f"'{health}'" for health in Health)


class Tenant(Base):
    """A customer of the SaaS. `version` is its ETag, `changed_version` the registry version of its last change."""

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint(f"state in ({_STATES})", name="state"),
        UniqueConstraint("slug"),
        UniqueConstraint("external_id"),
        Index(None, "changed_version"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(200))
    external_id: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16), default=TenantState.DRAFT)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    resource_metadata: Mapped[bool] = mapped_column(default=False, server_default=false())
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    changed_version: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    realms: Mapped[list[Realm]] = relationship(
        back_populates="tenant", lazy="raise", order_by="Realm.id", cascade="all, delete-orphan", passive_deletes=True
    )
    role_rules: Mapped[list[RoleRuleRow]] = relationship(
        lazy="raise", order_by="RoleRuleRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class Realm(Base):
    """A registered issuer. `organization` is '' for the whole realm, so that the unique key counts it."""

    __tablename__ = "realms"
    __table_args__ = (
        CheckConstraint(f"health in ({_HEALTH})", name="health"),
        UniqueConstraint("issuer", "organization"),
        Index(None, "tenant_id"),
        Index(None, "checked_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(String(512))
    organization: Mapped[str] = mapped_column(String(255), default="")
    realm_url: Mapped[str] = mapped_column(String(512))
    client_id: Mapped[str] = mapped_column(String(255))
    audiences: Mapped[list[str]] = mapped_column(JSON)
    authorized_parties: Mapped[list[str]] = mapped_column(JSON, default=list)
    algorithms: Mapped[list[str]] = mapped_column(JSON)
    login_client_id: Mapped[str | None] = mapped_column(String(255))
    docs_client_id: Mapped[str | None] = mapped_column(String(255))
    ca_bundle: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True)
    issuer_check: Mapped[str] = mapped_column(String(32), default="discovery", server_default="discovery")
    not_before: Mapped[int] = mapped_column(BigInteger, default=0)
    health: Mapped[str] = mapped_column(String(16), default=Health.UNKNOWN)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    tenant: Mapped[Tenant] = relationship(back_populates="realms", lazy="raise")
    conditions: Mapped[list[RealmCondition]] = relationship(
        lazy="raise", order_by="RealmCondition.position", cascade="all, delete-orphan", passive_deletes=True
    )


class RealmKeysRow(Base):
    """The last good key set of a realm, with the realm's status.

    It is used only for the `issuer` and `realm_url` that it was fetched for; where they are NULL, it is not used.
    """

    __tablename__ = "realm_keys"

    realm_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True)
    jwks: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    fetched_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[int] = mapped_column(BigInteger, default=0)
    realm_enabled: Mapped[bool] = mapped_column(default=True)
    issuer: Mapped[str | None] = mapped_column(String(512))
    realm_url: Mapped[str | None] = mapped_column(String(512))


class OrganizationIssuer(Base):
    """An issuer with a registered organization, now or ever: tokens that name one never belong to the whole realm.

    The row outlives organization and tenant. `changed_version` is the registry version that added it.
    """

    __tablename__ = "organization_issuers"
    __table_args__ = (Index(None, "changed_version"),)

    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    changed_version: Mapped[int] = mapped_column(BigInteger)


class RealmCondition(Base):
    """The result of one onboarding check of a realm."""

    __tablename__ = "realm_conditions"

    realm_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True)
    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    status: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    last_transition_time: Mapped[datetime] = mapped_column(UtcDateTime)


class RoleRuleRow(Base):
    """One line of a tenant's role mapping."""

    __tablename__ = "role_rules"

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(300))
    value: Mapped[str] = mapped_column(String(300))
    role: Mapped[str] = mapped_column(String(100))


class PurgedTenant(Base):
    """A purged tenant, for replicas that missed its deletion."""

    __tablename__ = "purged_tenants"
    __table_args__ = (Index(None, "changed_version"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    changed_version: Mapped[int] = mapped_column(BigInteger)


class AdminApiKey(Base):
    """An admin key, `tak_<id>_<secret>`; only the SHA-256 of the whole key is stored."""

    __tablename__ = "admin_api_keys"
    __table_args__ = (UniqueConstraint("key_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    key_id: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """One change, written in the same transaction as the change itself; never updated."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "target_id"), Index(None, "action"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    action: Mapped[str] = mapped_column(String(64))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    actor_type: Mapped[str] = mapped_column(String(32))
    actor_id: Mapped[str] = mapped_column(String(600))
    target_type: Mapped[str] = mapped_column(String(32))
    target_id: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(128))
    changes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    reason: Mapped[str | None] = mapped_column(Text)


class RegistryVersion(Base):
    """One row: the version, which grows with every committed change of a tenant and with nothing else.

    A version that is no tenant's last change makes every replica compare the whole registry.
    """

    __tablename__ = "registry_version"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger, default=0)


class IdempotencyKey(Base):
    """The first response to a POST with an Idempotency-Key, stored for 24 h. `status` is NULL while it runs."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    actor_id: Mapped[str] = mapped_column(String(600), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class LoginTries(Base):
    """Login attempts of one kind in one minute. `digest` is of the user or address, so that no user name is stored."""

    __tablename__ = "login_tries"
    __table_args__ = (Index(None, "minute"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    minute: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)


class Rejection(Base):
    """The number of refused tokens of one tenant with equal values; `digest` is of these values, never of a token."""

    __tablename__ = "rejections"
    __table_args__ = (UniqueConstraint("tenant_id", "digest"), Index(None, "tenant_id", "last_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(64))
    kid: Mapped[str | None] = mapped_column(Text)
    authorized_party: Mapped[str | None] = mapped_column(Text)
    audience: Mapped[list[str]] = mapped_column(JSON)
    count: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
