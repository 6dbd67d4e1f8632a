"""Issuers that have, or had, a registered organization: tokens that name one never belong to the whole realm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "organization_issuers",
        sa.Column("issuer", sa.String(length=512), nullable=False),
        sa.Column("changed_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_organization_issuers")),
    )
    with op.batch_alter_table("organization_issuers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_organization_issuers_changed_version"), ["changed_version"], unique=False)
    op.execute(
        "insert into organization_issuers (issuer, changed_version) "
        "select distinct issuer, 0 from realms where organization <> ''"
    )


def downgrade() -> None:
    op.drop_table("organization_issuers")
