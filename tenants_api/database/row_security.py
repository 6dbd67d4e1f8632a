"""Checks and sets up PostgreSQL for row-level security: the role that serves, and every table of tenant data.

Row-level security binds no superuser, no role with BYPASSRLS and, unless it is forced, no owner of the table
(PostgreSQL 15, section 5.8). Alembic does not compare policies, so it would not find a new table without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tenants_api.database.engine import Database

OWNER, APP = "tenants_owner", "tenants_app"
# Its columns are the fields of DatabaseRole, in their order.
ROLE_QUERY = """
select r.rolname as role, r.rolsuper, r.rolbypassrls,
    array(
        select g.rolname::text from pg_roles g
        where (g.rolsuper or g.rolbypassrls) and g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'member')
        order by 1
    ) as passing_groups,
    array(
        select c.relname::text from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
            and pg_has_role(r.oid, c.relowner, 'member')
        order by 1
    ) as owned
from pg_roles r where r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """The role of the connection."""

    role: str
    is_superuser: bool
    passes: bool
    passing_groups: Sequence[str]
    owned: Sequence[str]


def faults_of(found: DatabaseRole) -> list[str]:
    """Why this role may not serve tenants; empty when it may."""
    role = found.role
    if found.is_superuser:  # a member of every role: the rest is meaningless
        return [f"the role {role} is a superuser"]
    faults = [f"the role {role} has BYPASSRLS"] if found.passes else []
    faults += [
        f"the role {role} is a member of {group}, which bypasses it (revoke {quoted(group)} from {quoted(role)})"
        for group in found.passing_groups
    ]
    if found.owned:
        faults.append(f"the role {role} owns tables ({found.owned[0]}{' …' if len(found.owned) > 1 else ''})")
    return faults


# A statement that changes the role of the connection may break what else it is for: `postgres` is one of these roles.
OTHER_ROLE = (
    f"connect as {APP} (TENANTS_DATABASE_URL), which owns no table;"
    " `tenants-api db grant --apply`, run as a superuser, makes it and its rights"
)


def quoted(name: str) -> str:
    """An identifier of SQL. Raises ValueError for one that needs more than letters, digits, `_`, `-` and `$`."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}", name):
        raise ValueError(f"{name!r} is not a name of letters, digits, _, - and $")
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'


_READ_FIRST = "the verifier reads it to find out whose token it is, so no tenant is known yet; no tenant route reads it"
# Tables with a tenant_id and without a policy, with the reason. `unguarded_tables` reports every other one.
TABLES_WITHOUT_POLICY: Mapping[str, str] = {
    "realms": _READ_FIRST,
    "role_rules": _READ_FIRST,
    "rejections": "written for many tenants in one batch, from refused tokens; read by admins, by no tenant route",
}

_TABLES = text(
    """
    select c.relname as table_name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
        exists (
            select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*'
                and p.polqual is not null and p.polwithcheck is not null
        ) as whole,
        exists (
            select from pg_policy p where p.polrelid = c.oid and p.polpermissive and (
                coalesce(pg_get_expr(p.polqual, p.polrelid), 'app.tenant_id') not like '%app.tenant_id%'
                or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'app.tenant_id') not like '%app.tenant_id%')
        ) as opened,
        exists (
            select from pg_index i where i.indrelid = c.oid and i.indisunique
                and not a.attnum = any (i.indkey::smallint[])
        ) as shared_key
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    order by 1
    """
)


# The role that serves may add and delete rows of this table, and not change them.
APPEND_ONLY = "audit_events"
_CHANGERS = text(
    f"""
    select distinct coalesce(r.rolname, 'public') as role
    from pg_class c cross join aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
    where c.relnamespace = current_schema()::regnamespace and c.relname = '{APPEND_ONLY}'
        and a.privilege_type in ('UPDATE', 'TRUNCATE') and a.grantee <> c.relowner
    order by 1
    """  # noqa: S608 (a constant)
)


async def role_faults(database: Database) -> list[str]:
    """Why this database's role may not serve tenants; empty on SQLite, which knows no roles.

    Raises:
        SQLAlchemyError: the database cannot be read.
    """
    if not database.is_postgresql:
        return []
    async with database.read() as session:
        row = (await session.execute(text(ROLE_QUERY))).one()
    return faults_of(DatabaseRole(*row))


async def why_not_serve(database: Database, *, environment: str) -> str | None:
    """Why this database's role may not serve in this environment, in one line with a hint; None when it may.

    Only in production: there a role that policies do not bind may not serve.
    """
    faults = await role_faults(database) if environment == "production" else []
    return f"{' and '.join(faults)}, so row-level security does not bind this API; {OTHER_ROLE}" if faults else None


def unguarded_tables(connection: Connection) -> list[str]:
    """A description of each table with a `tenant_id` whose rows another tenant could reach; empty on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    found = []
    for row in connection.execute(_TABLES):
        gaps = [
            *([] if row.enabled else ["row-level security is not enabled"]),
            *([] if row.forced else ["it is not forced on the owner"]),
            *([] if row.whole else ["no policy for all commands has both USING and WITH CHECK"]),
            *(["a policy does not compare app.tenant_id"] if row.opened else []),
            *(["a unique key is shared by all tenants"] if row.shared_key else []),
        ]
        if gaps and row.table_name not in TABLES_WITHOUT_POLICY:
            found.append(f"{row.table_name}: {', '.join(gaps)}")
    return found


def changeable_log(connection: Connection) -> list[str]:
    """A description of each role that may change the audit log; empty on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    hint = "run `tenants-api db grant --apply`"
    return [f"{APPEND_ONLY}: the role {row.role} may change entries; {hint}" for row in connection.execute(_CHANGERS)]


def role_setup(*, database: str, tables: Sequence[str], owner: str = OWNER, app: str = APP) -> list[str]:
    """The statements that create both roles and their rights; they are idempotent.

    A superuser may run them; the owner too, once the roles exist. Of the tables that exist, only `tables` and those of
    the owner are touched: others belong to other applications.

    Raises:
        ValueError: a name is not an ordinary identifier.
    """
    role, defaults = quoted(app), f"alter default privileges for role {quoted(owner)} in schema public grant"
    rights = "select, insert, update, delete"
    ours = ", ".join(f"'{quoted(table)}'" for table in tables)
    return [
        *(_role(name) for name in (owner, app)),
        _unless_owner("pg_database", "datname", name=database, owner=owner, kind="database"),
        _unless_owner("pg_namespace", "nspname", name="public", owner=owner, kind="schema"),
        "revoke create on schema public from public",
        f"grant usage on schema public to {role}",
        _tables(ours, owner=owner, app=app, rights=rights),
        _append_only(role),
        f"{defaults} {rights} on tables to {role}",
        f"{defaults} usage, select on sequences to {role}",
    ]


def _role(name: str) -> str:
    harmless = "nosuperuser nocreatedb nocreaterole nobypassrls"
    privileged = "(rolsuper or rolcreatedb or rolcreaterole or rolbypassrls)"
    return _block(
        f"if not exists (select from pg_roles where rolname = '{name}') then",
        f"    create role {quoted(name)} login {harmless};",
        f"elsif exists (select from pg_roles where rolname = '{name}' and {privileged}) then",
        f"    alter role {quoted(name)} {harmless};",
        "end if;",
    )


def _unless_owner(catalogue: str, column: str, *, name: str, owner: str, kind: str) -> str:
    relation = {"pg_database": "datdba", "pg_namespace": "nspowner"}[catalogue]
    return _block(
        f"if exists (select from {catalogue} c join pg_roles r on r.oid = c.{relation}",
        f"        where c.{column} = '{name}' and r.rolname <> '{owner}') then",
        f"    alter {kind} {quoted(name)} owner to {quoted(owner)};",
        "end if;",
    )


def _tables(ours: str, *, owner: str, app: str, rights: str) -> str:
    return _block(
        "declare found record;",
        "begin",
        "    for found in select quote_ident(tablename) as name, tableowner as owner from pg_tables",
        f"        where schemaname = 'public' and (tablename in ({ours}) or tableowner = '{owner}') loop",
        f"        if found.owner <> '{owner}' then",
        f"            execute 'alter table public.' || found.name || ' owner to {quoted(owner)}';",
        "        end if;",
        f"        execute 'grant {rights} on public.' || found.name || ' to {quoted(app)}';",
        "    end loop;",
        "end;",
    )


def _append_only(app: str) -> str:
    # A table that is created later gets the default rights; its migration revokes these.
    return _block(
        f"if to_regclass('public.{APPEND_ONLY}') is not null then",
        f"    revoke update, truncate on public.{APPEND_ONLY} from {app};",
        "end if;",
    )


def _block(*lines: str) -> str:
    return "\n".join(["do $$ begin", *lines, "end $$"])
