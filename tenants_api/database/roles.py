"""Which role of PostgreSQL may serve: one that row-level security binds. Plain values and one query; no library.

Row-level security binds no superuser, no role with BYPASSRLS and, unless it is forced, no owner of the table
(PostgreSQL 15, section 5.8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """What PostgreSQL says of the role that is logged in."""

    role: str
    is_superuser: bool
    passes: bool
    passing_groups: Sequence[str]
    owned: Sequence[str]


@dataclass(frozen=True, slots=True)
class RoleFault:
    """Why a role may not serve, and the SQL that cures it."""

    fault: str
    cure: str


def faults_of(found: DatabaseRole) -> list[RoleFault]:
    """Why this role may not serve tenants; empty when it may."""
    role = found.role
    if found.is_superuser:  # a member of everything: the rest says nothing
        return [RoleFault(f"the role {role} is a superuser", f"alter role {quoted(role)} nosuperuser nobypassrls")]
    faults = []
    if found.passes:
        faults.append(RoleFault(f"the role {role} has BYPASSRLS", f"alter role {quoted(role)} nobypassrls"))
    for group in found.passing_groups:
        faults.append(
            RoleFault(f"the role {role} is a member of {group}", f"revoke {quoted(group)} from {quoted(role)}")
        )
    if found.owned:
        cure = "; ".join(f"alter table {quoted(table)} owner to {OWNER}" for table in found.owned[:3])
        more = " …" if len(found.owned) > 3 else ""
        faults.append(RoleFault(f"the role {role} owns tables ({found.owned[0]}{more})", f"{cure}{more}"))
    return faults


def reason_not_to_serve(faults: Sequence[RoleFault]) -> str | None:
    """The faults in one line with the cure; None when there are none."""
    if not faults:
        return None
    reasons, cures = " and ".join(one.fault for one in faults), "; ".join(one.cure for one in faults)
    return (
        f"{reasons}, so row-level security does not bind this API; use another role (`tenants-api db grant` makes"
        f" one), or run as a superuser: {cures}"
    )


def quoted(name: str) -> str:
    """An identifier of SQL. Raises ValueError for one that needs more than letters, digits, `_`, `-` and `$`."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}", name):
        raise ValueError(f"{name!r} is not a name of letters, digits, _, - and $")
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'
