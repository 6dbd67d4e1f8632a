"""`tenants apply` on a database that is full, read-only, too slow or of another revision, and killed on its way.

Each ends in one line that says what is wrong, nothing is half there, and the same command goes on once it is cured.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Cli, Said
from tests.cli.gitops.conftest import ndjson, slugs, summary, tenant
from tests.support.databases import postgres_copy
from tests.support.postgres import OWNER, SUPERUSER, PostgresServer
from tests.support.processes import wait_for

pytestmark = [pytest.mark.servers]
on_postgres = [pytest.mark.postgres, pytest.mark.xdist_group("postgres")]
Write = Callable[..., str]
BY_PROCESS = [sys.executable, "-c", "from tenants_api.cli import main; main()"]
MANY = 200


class Registry:
    """A migrated database of the run's PostgreSQL and its command line."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server, self._name = server, name
        self.cli = Cli({"TENANTS_DATABASE_URL": server.url(name, role="tenants_app"), "NO_COLOR": "1"})

    def run(self, statement: str, *, role: str = OWNER) -> Any:
        with self.connected(role=role) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else None

    @contextmanager
    def connected(self, *, role: str = OWNER) -> Iterator[psycopg.Connection[Any]]:
        url = self._server.url(self._name, role=role).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def rows(self) -> list[int]:
        """How many tenants, realms, audit events and versions there are."""
        tables = ("tenants", "realms", "audit_events")
        counts = [self.run(f"select count(*) from {table}", role=SUPERUSER)[0][0] for table in tables]
        return [*counts, self.run("select version from registry_version", role=SUPERUSER)[0][0]]


@pytest.fixture
def registry(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Registry:
    return Registry(postgres_server, postgres_copy(request).rpartition("/")[2])


def apply(cli: Cli, path: str) -> Said:
    return cli("tenants", "apply", "-f", path, "--activate", "unchecked", "--json")


def assert_told(said: Said, *words: str) -> None:
    assert said.code == 7, said.talk
    assert "Traceback" not in said.talk
    for word in words:
        assert word in " ".join(said.talk.split())


class TestOnPostgres:
    """What a server refuses, with the server's own words."""

    pytestmark = on_postgres

    def test_read_only_database_is_told_and_nothing_is_written(self, registry: Registry, write: Write) -> None:
        file, before = write(ndjson(tenant("acme"), tenant("globex"))), registry.rows()
        name = registry.run("select current_database()")[0][0]
        registry.run(f'alter database "{name}" set default_transaction_read_only = on')

        assert_told(apply(registry.cli, file), "read-only transaction", "0 tenants were changed")

        assert registry.rows() == before
        with registry.connected(role=SUPERUSER) as connection:
            connection.execute("set default_transaction_read_only = off")
            connection.execute(f'alter database "{name}" reset default_transaction_read_only'.encode())
        assert summary(apply(registry.cli, file).out)["create"] == 2

    def test_disk_that_fills_up_on_the_way_leaves_whole_tenants_alone(self, registry: Registry, write: Write) -> None:
        """The third tenant's realm finds no room: its own row, written before in the same transaction, goes too."""
        registry.run(
            "create function no_room() returns trigger language plpgsql as $$ begin"
            " if (select count(*) from realms) > 1 then"
            " raise exception 'could not extend file: No space left on device' using errcode = '53100'; end if;"
            " return new; end $$"
        )
        registry.run("create trigger no_room before insert on realms for each row execute function no_room()")
        file = write(ndjson(*(tenant(f"t{n}") for n in range(5))))

        assert_told(apply(registry.cli, file), "No space left on device", "2 tenants were changed")

        assert registry.rows()[:2] == [2, 2]
        registry.run("drop trigger no_room on realms")
        assert summary(apply(registry.cli, file).out) == {
            "create": 3, "update": 0, "unchanged": 2, "delete": 0, "failed": 0,
        }  # fmt: skip

    def test_statement_that_takes_too_long_is_ended(self, registry: Registry, write: Write) -> None:
        file, before = write(ndjson(tenant("acme"))), registry.rows()
        hasty = Cli(registry.cli.environment | {"TENANTS_DATABASE_STATEMENT_TIMEOUT": "3"})
        with registry.connected() as busy:
            busy.execute("begin; lock table realms in access exclusive mode")
            assert_told(apply(hasty, file), "timeout")
        assert registry.rows() == before
        assert apply(hasty, file).code == 0

    def test_older_schema_is_told_with_the_cure(self, registry: Registry, write: Write) -> None:
        registry.run("update alembic_version set version_num = '0001'")
        assert_told(apply(registry.cli, write(ndjson(tenant("acme")))), "tenants-api db upgrade")
        assert registry.rows()[:2] == [0, 0]

    def test_column_that_vanished_meanwhile_is_told(self, registry: Registry, write: Write) -> None:
        """Somebody took the schema back while the command ran: the revision was right when it began."""
        registry.run("alter table realms rename column issuer to was_issuer")
        assert_told(apply(registry.cli, write(ndjson(tenant("acme")))), "issuer", "tenants-api doctor")
        assert registry.rows()[:2] == [0, 0]


def test_sqlite_file_that_may_not_grow_leaves_whole_tenants_alone(cli: Cli, write: Write) -> None:
    """A real limit of the operating system on the size of files, as a quota or a full disk is one."""
    file = write(ndjson(*(tenant(f"t{n}", metadata={"x": "y" * 3000}) for n in range(MANY))))
    said = subprocess.run(
        [*BY_PROCESS, "tenants", "apply", "-f", file, "--activate", "unchecked", "--json"],
        env={**os.environ, **cli.environment}, preexec_fn=small_files, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert_told(Said(said.returncode, said.stdout, said.stderr), "the database failed", "tenants were changed")
    assert 0 < whole_tenants(cli) < MANY
    assert summary(apply(cli, file).out)["failed"] == 0
    assert whole_tenants(cli) == MANY


def test_sqlite_file_that_somebody_else_holds_is_told_and_nothing_is_written(cli: Cli, write: Write) -> None:
    path = cli.environment["TENANTS_DATABASE_URL"].partition("///")[2]
    before = Path(path).read_bytes()
    hasty = Cli(cli.environment | {"TENANTS_DATABASE_STATEMENT_TIMEOUT": "3"})
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("begin immediate")
        assert_told(apply(hasty, write(ndjson(tenant("acme")))), "locked", "0 tenants were changed")
        holder.execute("rollback")
    assert Path(path).read_bytes() == before
    assert slugs(cli) == set()


def test_run_that_is_killed_goes_on_where_it_ended(cli: Cli, write: Write) -> None:
    file = write(ndjson(*(tenant(f"t{n}") for n in range(MANY))))
    process = subprocess.Popen(
        [*BY_PROCESS, "tenants", "apply", "-f", file, "--activate", "unchecked"],
        env={**os.environ, **cli.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: whole_tenants(cli) > 5, what="some tenants are there")
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = whole_tenants(cli)
    assert 5 < done < MANY
    went_on = summary(apply(cli, file).out)
    assert (went_on["create"], went_on["unchanged"]) == (MANY - done, done)
    assert whole_tenants(cli) == MANY


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))


def whole_tenants(cli: Cli) -> int:
    """Tenants that are there; each of them with its realm and its state, or the test fails."""
    with sqlite3.connect(cli.environment["TENANTS_DATABASE_URL"].partition("///")[2], timeout=60) as connection:
        counts = connection.execute(
            "select (select count(*) from tenants where state = 'active'), (select count(*) from tenants),"
            " (select count(*) from realms)"
        ).fetchone()
    assert len(set(counts)) == 1, counts
    return int(counts[0])
