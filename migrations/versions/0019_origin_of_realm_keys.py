"""The issuer and the URL that a stored key set was fetched for: after a change of these it must not be used.

Stored sets of realms that were changed after the fetch get none, and are fetched again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# A minute more, because a replica that had not read a change yet may have fetched for the previous issuer.
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
