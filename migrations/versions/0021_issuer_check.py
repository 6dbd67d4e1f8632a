"""Whether a realm's discovery document must state its issuer; by default it must."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.add_column(sa.Column("issuer_check", sa.String(32), server_default="discovery", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.drop_column("issuer_check")
