"""Login attempts by minute, so that all replicas share one limit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_tries",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "minute", name=op.f("pk_login_tries")),
    )
    op.create_index(op.f("ix_login_tries_minute"), "login_tries", ["minute"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_login_tries_minute"), table_name="login_tries")
    op.drop_table("login_tries")
