"""Row-level security on items: a query without its filter cannot reach another tenant's rows."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# nullif: on a pooled connection that once had a tenant the setting is '' and not NULL; without a tenant no row matches.
_TENANT = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute("alter table items enable row level security")
    op.execute("alter table items force row level security")
    op.execute(f"create policy items_of_the_tenant on items using ({_TENANT}) with check ({_TENANT})")


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute("drop policy items_of_the_tenant on items")
    op.execute("alter table items no force row level security")
    op.execute("alter table items disable row level security")
