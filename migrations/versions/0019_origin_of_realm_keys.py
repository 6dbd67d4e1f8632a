"""What a stored key set was fetched for: an issuer that changed must not get the keys of the one before.

A set is taken over only where the realm has not been changed since the set was fetched; any other is fetched again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# A minute more: a replica that had not heard of a change yet may have fetched for the issuer before it.
_LATER = {
    "postgresql": "realm_keys.fetched_at > realms.updated_at + interval '1 minute'",
    "sqlite": "julianday(realm_keys.fetched_at) > julianday(realms.updated_at) + 1.0 / 1440",
}


def upgrade() -> None:
    with op.batch_alter_table("realm_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("issuer", sa.String(length=512), nullable=True))
        batch_op.add_column(sa.Column("realm_url", sa.String(length=512), nullable=True))
    keys, realms = (
        sa.table("realm_keys", *map(sa.column, ("realm_id", "issuer", "realm_url"))),
        sa.table("realms", *map(sa.column, ("id", "issuer", "realm_url", "version"))),
    )
    unchanged = sa.or_(realms.c.version == 1, sa.text(_LATER[op.get_bind().dialect.name]))
    known = {
        name: sa.select(realms.c[name]).where(realms.c.id == keys.c.realm_id, unchanged).scalar_subquery()
        for name in ("issuer", "realm_url")
    }
    op.execute(keys.update().values(known))


def downgrade() -> None:
    with op.batch_alter_table("realm_keys", schema=None) as batch_op:
        batch_op.drop_column("realm_url")
        batch_op.drop_column("issuer")
