"""Migrated databases of both kinds, one per test: SQLite files and databases of the run's own PostgreSQL.

On PostgreSQL the test connects as the application does: with a role that owns nothing and cannot pass row-level
security. Each is a copy of one that was migrated once.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tenants_api import migrating
from tenants_api.db import Database
from tests.support.postgres import OWNER, SUPERUSER, PostgresServer

POSTGRES = pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")])
BOTH = ["sqlite", POSTGRES]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("migrated") / "tenants.db"
    migrating.upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """A migrated PostgreSQL database to copy; the owner's URL."""
    url = postgres_server.create_database()
    migrating.upgrade(url)
    return url


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of this test's own; the application's URL."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "tenants.db")
        return f"sqlite+aiosqlite:///{path}"
    return postgres_copy(request)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, opened."""
    opened = Database(database_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> str:
    """The same on PostgreSQL alone, for what SQLite has not; the application's URL."""
    return postgres_copy(request)


@pytest.fixture
async def server_database(server_url: str) -> AsyncIterator[Database]:
    """The same, opened."""
    opened = Database(server_url)
    yield opened
    await opened.aclose()


def postgres_copy(request: pytest.FixtureRequest) -> str:
    """A migrated database on the run's PostgreSQL; the application's URL."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("migrated_database").rpartition("/")[2]
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.url("postgres", role=SUPERUSER).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} owner {}").format(*map(sql.Identifier, (name, template, OWNER)))
        )
    return server.app_url(server.url(name, role=OWNER))
