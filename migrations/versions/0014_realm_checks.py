"""The time of a realm's last check, by which replicas share the periodic checks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.add_column(sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f("ix_realms_checked_at"), ["checked_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_realms_checked_at"))
        batch_op.drop_column("checked_at")
