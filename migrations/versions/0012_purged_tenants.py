"""Purged tenants: their ids and the versions of their purge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "purged_tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("changed_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purged_tenants")),
    )
    with op.batch_alter_table("purged_tenants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purged_tenants_changed_version"), ["changed_version"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("purged_tenants", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_purged_tenants_changed_version"))

    op.drop_table("purged_tenants")
