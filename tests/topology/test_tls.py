"""TLS to PostgreSQL by the URL's own words: `sslmode` and `sslrootcert`, as libpq knows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tenants_api.database import migrations as migrating
from tenants_api.database.migrations import MigrationError
from tenants_api.devkit.realms import DevRealmServer
from tests.support.postgres import PostgresServer
from tests.support.restartable_postgres import restartable_postgres
from tests.support.sockets import certificate
from tests.topology.stage import replicas

pytestmark = pytest.mark.xdist_group("tls")
ONLY_TLS = b"hostssl all all 127.0.0.1/32 trust\n"


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A server certificate that is its own authority, in a file; and its key."""
    pem, key = certificate("127.0.0.1")
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_bytes(pem)
    return path, key


@pytest.fixture(scope="module")
def tls_server(postgres_programs: Path, trusted: tuple[Path, bytes]) -> Iterator[PostgresServer]:
    """It takes connections over TLS alone."""
    authority, key = trusted
    files = {"server.crt": authority.read_bytes(), "server.key": key, "pg_hba.conf": ONLY_TLS}
    with restartable_postgres(postgres_programs, options={"ssl": "on"}, files=files) as process:
        yield process.server


def test_service_and_migrations_go_over_verified_tls(
    tls_server: PostgresServer, trusted: tuple[Path, bytes], realms: DevRealmServer, tmp_path: Path
) -> None:
    owner_url = tls_server.create_database()
    verified = f"?sslmode=verify-full&sslrootcert={trusted[0]}"
    migrating.upgrade(f"{owner_url}{verified}")
    app_url = f"{tls_server.app_url(owner_url)}{verified}"
    with replicas(tmp_path, realms, count=1, workers=2, variables={"TENANTS_DATABASE_URL": app_url}) as stage:
        token = stage.onboard("acme", realm="acme")
        assert stage.call("POST", "/v1/items", token=token, json={"title": "one"}).status_code == 201
        engine = migrating.sync_engine(tls_server.superuser_url(owner_url))
        with engine.connect() as connection:
            query = (
                "select usename, ssl from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'tenants_app'"
            )
            sessions = [tuple(row) for row in connection.execute(text(query))]
        engine.dispose()
    assert len(sessions) >= 3  # two workers that listen, and one that wrote
    assert set(sessions) == {("tenants_app", True)}


def test_server_of_another_authority_is_refused(tls_server: PostgresServer, tmp_path: Path) -> None:
    """The attack: somebody between us and the database, with a certificate of their own."""
    owner_url = tls_server.create_database()
    other = tmp_path / "other.pem"
    other.write_bytes(certificate("127.0.0.1")[0])
    with pytest.raises(MigrationError, match="certificate verify failed"):
        migrating.upgrade(f"{owner_url}?sslmode=verify-full&sslrootcert={other}")


def test_server_of_another_name_is_refused(tls_server: PostgresServer, trusted: tuple[Path, bytes]) -> None:
    owner_url = tls_server.create_database().replace("127.0.0.1", "localhost")
    with pytest.raises(MigrationError, match='does not match host name "localhost"'):
        migrating.upgrade(f"{owner_url}?sslmode=verify-full&sslrootcert={trusted[0]}")


def test_plain_connection_is_refused_with_what_the_server_says(tls_server: PostgresServer) -> None:
    with pytest.raises(MigrationError, match="no encryption"):
        migrating.upgrade(f"{tls_server.create_database()}?sslmode=disable")
