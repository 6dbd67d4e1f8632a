"""Databases of both kinds: the parameters of tests that run on both, and copies of one that was migrated once.

On PostgreSQL the test connects as the application does: with a role that owns nothing and cannot pass row-level
security.
"""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.support.postgres import OWNER, SUPERUSER, PostgresServer

POSTGRES = pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.xdist_group("postgres")])
BOTH = ["sqlite", POSTGRES]


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
