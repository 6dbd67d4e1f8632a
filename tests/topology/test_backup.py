"""A dump of PostgreSQL, restored into an empty database: the service goes on from it, and its walls stand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from tenants_api.database import migrations as migrating
from tenants_api.database import revisions
from tenants_api.database.engine import Base
from tenants_api.devkit.realms import DevRealmServer
from tests.support.postgres import PostgresServer
from tests.topology.stage import replicas

pytestmark = pytest.mark.xdist_group("backup")
POLICIES = text("select tablename, policyname, qual from pg_policies order by 1, 2")


def test_dump_is_restored_with_its_tenants_roles_and_policies(
    postgres_server: PostgresServer, postgres_programs: Path, realms: DevRealmServer, tmp_path: Path
) -> None:
    old, new = postgres_server.create_database(), postgres_server.create_database()
    migrating.upgrade(old)
    (tmp_path / "before").mkdir()
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(old)}
    with replicas(tmp_path / "before", realms, count=1, workers=1, variables=variables) as stage:
        token = stage.onboard("acme", realm="acme")
        assert stage.call("POST", "/v1/items", token=token, json={"title": "kept"}).status_code == 201
        dump(postgres_server, programs=postgres_programs, source=old, path=tmp_path / "tenants.dump")
        restore(postgres_server, programs=postgres_programs, target=new, path=tmp_path / "tenants.dump")
    (tmp_path / "after").mkdir()
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(new)}
    with replicas(tmp_path / "after", realms, count=1, workers=2, variables=variables) as stage:
        answer = stage.call("GET", "/v1/items", token=token)
        assert [item["title"] for item in answer.json()["data"]] == ["kept"]
        stage.admin("POST", "/tenants/acme/suspend", json={})
    assert migrating.check(new, metadata=Base.metadata) == []
    assert migrating.current(new) == revisions.head()
    found = [migrating.read(url, lambda connection: connection.execute(POLICIES).all()) for url in (old, new)]
    assert found[0] == found[1] != []


def test_owner_cannot_dump_what_the_policies_hide(
    postgres_server: PostgresServer, postgres_programs: Path, tmp_path: Path
) -> None:
    """It fails, rather than to leave out every tenant's rows without a word."""
    url = postgres_server.create_database()
    migrating.upgrade(url)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(postgres_programs / "pg_dump", "-Fc", "-f", str(tmp_path / "tenants.dump"), url.replace("+psycopg", ""))
    assert "row-level security" in failed.value.stderr


def dump(server: PostgresServer, *, programs: Path, source: str, path: Path) -> None:
    run(programs / "pg_dump", "-Fc", "-f", str(path), server.superuser_url(source).replace("+psycopg", ""))


def restore(server: PostgresServer, *, programs: Path, target: str, path: Path) -> None:
    address = server.superuser_url(target).replace("+psycopg", "")
    run(programs / "pg_restore", "--clean", "--if-exists", "--exit-on-error", "-d", address, str(path))


def run(program: Path, *words: str) -> None:
    subprocess.run([program, *words], capture_output=True, text=True, timeout=300, check=True)
