"""The role that serves may add and delete entries of the audit log, and not change them.

PostgreSQL only. It applies to every role that may insert and does not own the table.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_EACH = """
do $$
declare name text;
begin
    for name in
        select distinct r.rolname
        from pg_class c cross join aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
        where c.oid = 'audit_events'::regclass and a.privilege_type = 'INSERT' and a.grantee <> c.relowner
    loop
        execute format('{statement}', name);
    end loop;
end $$
"""


def upgrade() -> None:
    _run("revoke update, truncate on audit_events from %I")


def downgrade() -> None:
    _run("grant update on audit_events to %I")


def _run(statement: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_EACH.format(statement=statement))
