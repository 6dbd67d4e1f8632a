"""The role that serves, and the tables that it serves from: what would make row-level security no wall at all."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tenants_api.cli.database import TABLES
from tenants_api.database import migrations as migrating
from tenants_api.database.engine import Database
from tenants_api.database.row_security import (
    APP,
    OWNER,
    TABLES_WITHOUT_POLICY,
    role_faults,
    role_setup,
    unguarded_tables,
    why_not_serve,
)
from tests.support.postgres import SUPERUSER, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def name(server_url: str) -> str:
    return server_url.rpartition("/")[2]


@pytest.fixture
def privileged(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    """A superuser, and roles that are gone after the test."""
    with psycopg.connect(
        postgres_server.url("postgres", role=SUPERUSER).replace("+psycopg", ""), autocommit=True
    ) as connection:
        yield connection
        for role in ("t_bypass", "t_member", "t_owner", "t_app", "t_group"):
            connection.execute(f"drop role if exists {role}".encode())


async def faults(server: PostgresServer, name: str, role: str) -> list[str]:
    database = Database(server.url(name, role=role))
    try:
        return await role_faults(database)
    finally:
        await database.aclose()


async def test_application_role_has_no_fault(postgres_server: PostgresServer, name: str) -> None:
    assert await faults(postgres_server, name, APP) == []


async def test_superuser_owner_and_bypassrls_are_named(
    postgres_server: PostgresServer, name: str, privileged: psycopg.Connection
) -> None:
    privileged.execute("create role t_bypass login bypassrls")
    privileged.execute("create role t_member login in role t_bypass")
    assert await faults(postgres_server, name, SUPERUSER) == ["the role postgres is a superuser"]
    assert await faults(postgres_server, name, "t_bypass") == ["the role t_bypass has BYPASSRLS"]
    (fault,) = await faults(postgres_server, name, OWNER)
    assert "owns tables" in fault
    (fault,) = await faults(postgres_server, name, "t_member")
    assert "(revoke t_bypass from t_member)" in fault
    privileged.execute("revoke t_bypass from t_member")
    assert await faults(postgres_server, name, "t_member") == []


@pytest.mark.parametrize("role", [SUPERUSER, OWNER])
async def test_advice_changes_no_role_that_exists(postgres_server: PostgresServer, name: str, role: str) -> None:
    """`alter role postgres nosuperuser` would leave a cluster without a superuser."""
    database = Database(postgres_server.url(name, role=role))
    try:
        reason = await why_not_serve(database, environment="production")
    finally:
        await database.aclose()
    assert reason is not None
    assert "connect as tenants_app" in reason
    assert "tenants-api db grant --apply" in reason
    assert "alter " not in reason


def unguarded(url: str) -> list[str]:
    return migrating.read(url, unguarded_tables)


def test_every_table_with_a_tenant_id_is_guarded_or_listed_with_a_reason(server_url: str) -> None:
    assert unguarded(server_url) == []
    rows = migrating.read(
        server_url,
        lambda connection: set(
            connection.scalars(
                text("select table_name from information_schema.columns where column_name = 'tenant_id'")
            )
        ),
    )
    assert "items" in rows
    assert set(TABLES_WITHOUT_POLICY) <= rows, "an exception for a table that is gone"
    assert all(TABLES_WITHOUT_POLICY.values())


@pytest.mark.parametrize(
    ("statements", "gap"),
    [
        (["create table notes (tenant_id uuid, id int, primary key (tenant_id, id))"], "notes: row-level security"),
        (["alter table items disable row level security"], "items: row-level security is not enabled"),
        (["alter table items no force row level security"], "items: it is not forced"),
        (["drop policy items_of_the_tenant on items"], "items: no policy"),
        (["create policy everybody on items using (true) with check (true)"], "items: a policy does not compare"),
        (["create policy readers on items for select using (true)"], "items: a policy does not compare"),
        (["alter table items add unique (title)"], "items: a unique key is shared"),
    ],
)
def test_table_whose_wall_has_a_gap_is_found(
    postgres_server: PostgresServer, server_url: str, name: str, statements: list[str], gap: str
) -> None:
    migrating.run(postgres_server.url(name, role=OWNER), statements)
    (found,) = unguarded(server_url)
    assert found.startswith(gap)


async def test_role_set_up_makes_a_working_pair_and_may_run_again(
    postgres_server: PostgresServer, privileged: psycopg.Connection
) -> None:
    privileged.execute("create database grant_test")
    try:
        root = postgres_server.url("grant_test", role=SUPERUSER)
        # A start gone wrong: a superuser migrated, and the role that serves may do anything.
        privileged.execute("create role t_app login superuser createdb createrole bypassrls")
        await asyncio.to_thread(migrating.upgrade, root)
        statements = role_setup(database="grant_test", tables=TABLES, owner="t_owner", app="t_app")
        for _ in range(2):
            migrating.run(root, statements)
        assert await faults(postgres_server, "grant_test", "t_app") == []
        owner, app = (postgres_server.url("grant_test", role=role) for role in ("t_owner", "t_app"))
        migrating.run(owner, statements)  # the owner alone may repeat it
        await asyncio.to_thread(migrating.downgrade, owner, revision="0010")
        await asyncio.to_thread(migrating.upgrade, owner)
        migrating.run(app, ["select * from items", "delete from tenants"])
        with pytest.raises(migrating.MigrationError, match="permission denied"):
            migrating.run(app, ["create table mine (id int)"])
        with pytest.raises(migrating.MigrationError, match="must be owner"):
            migrating.run(app, ["alter table items disable row level security"])
    finally:
        privileged.execute("drop database grant_test")


def test_role_set_up_leaves_tables_of_other_applications_as_they_are(
    postgres_server: PostgresServer, privileged: psycopg.Connection
) -> None:
    privileged.execute("create database grant_test")
    try:
        root = postgres_server.url("grant_test", role=SUPERUSER)
        privileged.execute("create role t_group login")
        migrating.run(root, ["create table invoices (id serial)", "alter table invoices owner to t_group"])
        migrating.run(root, ["create table theirs (id int)", "grant select on theirs to t_group"])
        migrating.upgrade(root)
        migrating.run(root, role_setup(database="grant_test", tables=TABLES, owner="t_owner", app="t_app"))
        with psycopg.connect(root.replace("+psycopg", "")) as connection:
            owners = dict(
                connection.execute("select tablename, tableowner from pg_tables where schemaname = 'public'").fetchall()
            )
        assert (owners.pop("invoices"), owners.pop("theirs")) == ("t_group", SUPERUSER)
        assert set(owners) == set(TABLES)
        assert set(owners.values()) == {"t_owner"}
        app, other = (postgres_server.url("grant_test", role=role) for role in ("t_app", "t_group"))
        migrating.run(other, ["select * from invoices", "select * from theirs"])
        for table in ("invoices", "theirs"):
            with pytest.raises(migrating.MigrationError, match="permission denied"):
                migrating.run(app, [f"select * from {table}"])
    finally:
        privileged.execute("drop database grant_test")


def test_compose_makes_the_same_roles_and_rights(
    postgres_server: PostgresServer, privileged: psycopg.Connection
) -> None:
    """`deploy/postgres/10-roles.sh` runs once on an empty volume; `db grant` must find nothing to change after it."""
    script = (ROOT / "deploy" / "postgres" / "10-roles.sh").read_text("utf-8")
    made = [line for line in script.splitlines() if not line.startswith("create role")]
    shown = []
    for name, run in (("by_script", "\n".join(made)), ("by_command", None)):
        privileged.execute(f"create database {name}".encode())
        try:
            if run is not None:
                environment = {"POSTGRES_USER": SUPERUSER, "POSTGRES_DB": name, "PGHOST": "127.0.0.1"}
                passwords = {"TENANTS_OWNER_PASSWORD": "x", "TENANTS_APP_PASSWORD": "y"}
                subprocess.run(
                    ["sh", "-c", run],
                    env={**environment, **passwords, "PGPORT": str(postgres_server.port), "PATH": "/usr/bin:/bin"},
                    check=True,
                    capture_output=True,
                )
            else:
                migrating.run(postgres_server.url(name, role=SUPERUSER), role_setup(database=name, tables=TABLES))
            with psycopg.connect(postgres_server.url(name, role=SUPERUSER).replace("+psycopg", "")) as connection:
                query = """
                    select d.datdba::regrole::text, n.nspowner::regrole::text, n.nspacl::text, array(
                        select concat(a.defaclrole::regrole, a.defaclobjtype, a.defaclacl)
                        from pg_default_acl a order by 1)
                    from pg_database d, pg_namespace n where d.datname = %s and n.nspname = 'public'
                """
                shown.append(connection.execute(query, (name,)).fetchone())
        finally:
            privileged.execute(f"drop database {name}".encode())
    assert shown[0] == shown[1]
    roles = [line for line in script.splitlines() if line.startswith("create role")]
    assert len(roles) == 2
    assert all("nosuperuser nocreatedb nocreaterole nobypassrls" in line for line in roles)


@pytest.mark.parametrize("name", ["a b", "x;drop", "", "a'b", 'a"b', "9a", "x" * 64])
def test_name_that_is_no_identifier_never_reaches_sql(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        role_setup(database="tenants", tables=TABLES, app=name)
