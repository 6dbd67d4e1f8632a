"""What the tests of whole set-ups need: PostgreSQL's, nginx's and PgBouncer's programs, and one migrated database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenants_api.database import migrations as migrating
from tenants_api.devkit.realms import DevRealmServer
from tests.gateways.proxies import HOW, binary
from tests.support.machine import require
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.realms import dev_realms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.servers)
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    found = find_binaries()
    require("postgres", available=found is not None, how="apt-get install postgresql, or put initdb on the PATH")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def needs_nginx() -> None:
    require("nginx", available=binary("nginx") is not None, how=HOW["nginx"])


@pytest.fixture(scope="session")
def needs_pgbouncer() -> None:
    require("pgbouncer", available=binary("pgbouncer") is not None, how="apt-get install pgbouncer")


@pytest.fixture(scope="module")
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex", "initech") as server:
        yield server


@pytest.fixture(scope="module")
def owner_url(postgres_server: PostgresServer) -> str:
    """A migrated database; the owner's URL."""
    url = postgres_server.create_database()
    migrating.upgrade(url)
    return url
