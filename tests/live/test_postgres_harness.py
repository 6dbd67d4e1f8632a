"""The PostgreSQL of the tests: fresh databases, and roles as in production."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.machine import check_required, require
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", ""))


def test_two_databases_share_nothing(postgres_server: PostgresServer) -> None:
    one, other = postgres_server.create_database(), postgres_server.create_database()
    with _connect(one) as connection:
        connection.execute("create table notes (body text)")
    with _connect(other) as connection:
        found = connection.execute("select to_regclass('notes')").fetchone()
    assert found == (None,)


def test_app_role_writes_rows_of_the_owners_tables_but_makes_none(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    with _connect(postgres_url) as owner:
        owner.execute("create table notes (id bigserial primary key, body text)")
    with _connect(postgres_server.app_url(postgres_url)) as app:
        app.execute("insert into notes (body) values ('mine')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("create table stolen (body text)")


@pytest.mark.parametrize("role", ["owner", "app"])
def test_neither_role_passes_row_level_security(postgres_server: PostgresServer, postgres_url: str, role: str) -> None:
    url = postgres_url if role == "owner" else postgres_server.app_url(postgres_url)
    with _connect(url) as connection:
        answer = connection.execute(
            "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        ).fetchone()
    assert answer == (False,)


def test_missing_program_is_a_skip_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_TEST_REQUIRE", "keycloak")
    with pytest.raises(pytest.skip.Exception, match="lacks postgres: install it"):
        require("postgres", available=False, how="install it")


def test_missing_program_that_the_run_requires_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_TEST_REQUIRE", "keycloak, postgres")
    with pytest.raises(pytest.fail.Exception, match="names postgres"):
        require("postgres", available=False, how="install it")


def test_name_that_no_test_asks_for_cannot_be_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_TEST_REQUIRE", "postgres,keycloack")
    with pytest.raises(pytest.UsageError, match="names keycloack; known are caddy, "):
        check_required()
