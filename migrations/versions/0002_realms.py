"""Realms: the registered issuers of a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "realms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.String(length=512), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("realm_url", sa.String(length=512), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("audiences", sa.JSON(), nullable=False),
        sa.Column("authorized_parties", sa.JSON(), nullable=False),
        sa.Column("algorithms", sa.JSON(), nullable=False),
        sa.Column("login_client_id", sa.String(length=255), nullable=True),
        sa.Column("docs_client_id", sa.String(length=255), nullable=True),
        sa.Column("ca_bundle", sa.Text(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("health", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("health in ('unknown', 'healthy', 'degraded', 'failing')", name=op.f("ck_realms_health")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_realms_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_realms")),
        sa.UniqueConstraint("issuer", "organization", name=op.f("uq_realms_issuer_organization")),
    )
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_realms_tenant_id"), ["tenant_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_realms_tenant_id"))

    op.drop_table("realms")
