"""Rejections: counts of a tenant's refused tokens with equal values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rejections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.Text(), nullable=True),
        sa.Column("authorized_party", sa.Text(), nullable=True),
        sa.Column("audience", sa.JSON(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_rejections_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejections")),
        sa.UniqueConstraint("tenant_id", "digest", name=op.f("uq_rejections_tenant_id_digest")),
    )
    op.create_index(
        op.f("ix_rejections_tenant_id_rejections_last_at"), "rejections", ["tenant_id", "last_at"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_rejections_tenant_id_rejections_last_at"), table_name="rejections")
    op.drop_table("rejections")
