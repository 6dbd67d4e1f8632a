"""The last known good key set of a realm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "realm_keys",
        sa.Column("realm_id", sa.Uuid(), nullable=False),
        sa.Column("jwks", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("realm_enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["realm_id"], ["realms.id"], name=op.f("fk_realm_keys_realm_id_realms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("realm_id", name=op.f("pk_realm_keys")),
    )


def downgrade() -> None:
    op.drop_table("realm_keys")
