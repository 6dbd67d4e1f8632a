"""The result of each check of a realm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "realm_conditions",
        sa.Column("realm_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("last_transition_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["realm_id"], ["realms.id"], name=op.f("fk_realm_conditions_realm_id_realms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("realm_id", "type", name=op.f("pk_realm_conditions")),
    )


def downgrade() -> None:
    op.drop_table("realm_conditions")
