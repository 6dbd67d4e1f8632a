"""On PostgreSQL the commands and the server refuse a role that policies do not bind, and say how to get another."""

from __future__ import annotations

import psycopg
import pytest

from tests.cli.conftest import Cli
from tests.support.databases import postgres_copy
from tests.support.postgres import OWNER, SUPERUSER, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return postgres_copy(request).rpartition("/")[2]


def cli_as(server: PostgresServer, name: str, role: str, **more: str) -> Cli:
    return Cli({"TENANTS_DATABASE_URL": server.url(name, role=role), "NO_COLOR": "1", **more})


@pytest.mark.parametrize(("role", "named"), [(SUPERUSER, "is a superuser"), (OWNER, "owns tables")])
def test_production_refuses_a_role_that_policies_do_not_bind(
    postgres_server: PostgresServer, name: str, role: str, named: str
) -> None:
    for words in (["serve", "--port", "1"], ["tenants", "list"], ["doctor"]):
        said = cli_as(postgres_server, name, role)(*words)
        told = " ".join((said.talk + said.out).split())
        assert said.code in (3, 7), told
        assert named in told
        assert "tenants-api db grant" in told
        assert "Traceback" not in told


def test_refusal_names_the_role_to_serve_as(postgres_server: PostgresServer, name: str) -> None:
    said = cli_as(postgres_server, name, SUPERUSER)("tenants", "list")
    assert "connect as tenants_app" in " ".join(said.talk.split())
    assert "alter role" not in said.talk


def test_development_goes_on_and_the_doctor_says_so(postgres_server: PostgresServer, name: str) -> None:
    cli = cli_as(postgres_server, name, OWNER, TENANTS_ENVIRONMENT="development")
    assert cli("tenants", "list").code == 0
    (found,) = [one for one in cli.json("doctor")["data"] if one["check"] == "database role"]
    assert found["outcome"] == "note"
    assert "owns tables" in found["detail"]


def test_application_role_is_served_and_the_doctor_says_that_it_is_bound(
    postgres_server: PostgresServer, name: str
) -> None:
    (found,) = [
        one
        for one in cli_as(postgres_server, name, "tenants_app").json("doctor")["data"]
        if one["check"] == "database role"
    ]
    assert found["outcome"] == "ok"


def test_grant_prints_what_it_applies(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    cli = cli_as(postgres_server, url.rpartition("/")[2], SUPERUSER)
    assert cli("db", "upgrade").code == 0
    printed = cli("db", "grant")
    assert printed.code == 0
    assert "grant usage on schema public to tenants_app;" in printed.out
    assert "all tables" not in printed.out
    app = cli_as(postgres_server, url.rpartition("/")[2], "tenants_app")
    assert app("tenants", "list").code == 7
    assert cli("db", "grant", "--apply").code == 0
    assert app("tenants", "list").code == 0


def test_grant_that_may_not_be_applied_is_one_line_and_changes_nothing(
    postgres_server: PostgresServer, name: str
) -> None:
    said = cli_as(postgres_server, name, "tenants_app")("db", "grant", "--apply")
    assert said.code == 7
    assert "Traceback" not in said.talk


@pytest.mark.parametrize("words", [["--role", "a;b"], ["--owner", ""]])
def test_grant_refuses_a_name_that_is_no_identifier(
    postgres_server: PostgresServer, name: str, words: list[str]
) -> None:
    assert cli_as(postgres_server, name, OWNER)("db", "grant", *words).code == 2


def test_grant_on_sqlite_says_that_there_are_no_roles(cli: Cli) -> None:
    assert cli("db", "grant").code == 2


def test_db_check_finds_a_table_without_a_policy(postgres_server: PostgresServer, name: str) -> None:
    cli = cli_as(postgres_server, name, OWNER)
    assert cli("db", "check").code == 0
    with psycopg.connect(postgres_server.url(name, role=OWNER).replace("+psycopg", "")) as owner:
        owner.execute("alter table items no force row level security")
    said = cli("db", "check")
    assert said.code == 3
    assert "items: it is not forced" in said.talk


def test_grant_leaves_the_audit_log_append_only_and_db_check_finds_another_right(
    postgres_server: PostgresServer,
) -> None:
    """Whichever comes first, the tables or the roles; `db grant` mends a right that was given by hand."""
    url = postgres_server.create_database()
    name = url.rpartition("/")[2]
    cli, owner = cli_as(postgres_server, name, SUPERUSER), cli_as(postgres_server, name, OWNER)
    rights = (
        "select privilege_type from information_schema.role_table_grants"
        " where table_name = 'audit_events' and grantee = 'tenants_app' order by 1"
    )
    for step in (["db", "upgrade"], ["db", "grant", "--apply"], ["db", "upgrade"]):
        assert cli(*step).code == 0
    for _ in range(2):
        with psycopg.connect(postgres_server.url(name, role=SUPERUSER).replace("+psycopg", "")) as superuser:
            assert [row[0] for row in superuser.execute(rights)] == ["DELETE", "INSERT", "SELECT"]
            superuser.execute("grant update on audit_events to tenants_app")
        said = owner("db", "check")
        assert said.code == 3
        assert "audit_events: the role tenants_app may change entries" in " ".join(said.talk.split())
        assert cli("db", "grant", "--apply").code == 0
        assert owner("db", "check").code == 0
