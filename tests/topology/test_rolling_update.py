"""A new version migrates while the old one serves: expand, let both serve, contract. And what a long transaction does.

The new version is a copy of this one with one more revision, and a column more in its model of items.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text

from tenants_api.database import migrations as migrating
from tenants_api.database import revisions
from tenants_api.devkit.realms import DevRealmServer
from tests.live.chaos.load import Caller
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for
from tests.topology.stage import replicas

pytestmark = pytest.mark.xdist_group("rolling")
ROOT = Path(__file__).parents[2]
EXPAND, CONTRACT = "9001", "9002"
REVISION = '''"""{message}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {change}


def downgrade() -> None:
    {back}
'''
ADD = 'op.add_column("items", sa.Column("archived", sa.Boolean(), server_default=sa.false(), nullable=False))'
DROP_DEFAULT = 'op.alter_column("items", "archived", server_default=None)'
SET_DEFAULT = 'op.alter_column("items", "archived", server_default=sa.false())'


@pytest.fixture
def new_version(tmp_path: Path) -> Path:
    """A tree with the new version."""
    tree = tmp_path / "new"
    for name in ("tenants_api", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_revision(tree, EXPAND, before=revisions.head(), change=ADD, back='op.drop_column("items", "archived")')
    items, last = tree / "tenants_api" / "items.py", "    version: Mapped[int] = mapped_column(BigInteger, default=1)\n"
    text_of_items = items.read_text(encoding="utf-8")
    assert text_of_items.count(last) == 1
    archived = "    archived: Mapped[bool] = mapped_column(default=False)\n"
    items.write_text(text_of_items.replace(last, last + archived), encoding="utf-8")
    return tree


def test_old_version_serves_on_the_new_schema_until_the_new_one_took_over(
    postgres_server: PostgresServer, realms: DevRealmServer, new_version: Path, tmp_path: Path
) -> None:
    owner_url = postgres_server.create_database()
    migrating.upgrade(owner_url)
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(owner_url)}
    with replicas(folder(tmp_path, "old"), realms, count=1, workers=2, variables=variables) as old:
        token = old.onboard("acme", realm="acme")
        caller = Caller(old.base_url, token=token)
        upgraded = upgrade(new_version, url=owner_url, revision=EXPAND)
        assert upgraded.returncode == 0, upgraded.stderr
        assert old.call("POST", "/v1/items", token=token, json={"title": "by the old one"}).status_code == 201
        assert old.client.get(f"{old.base_url}/readyz").status_code == 200
        with replicas(folder(tmp_path, "old again"), realms, count=1, workers=2, variables=variables) as started_late:
            assert titles(started_late.base_url, old.client, token=token) == {"by the old one"}
        newer = variables | {"PYTHONPATH": str(new_version)}
        with replicas(folder(tmp_path, "newer"), realms, count=1, workers=2, variables=newer) as new:
            assert new.call("POST", "/v1/items", token=token, json={"title": "by the new one"}).status_code == 201
            assert {titles(one.base_url, old.client, token=token) == {"by the old one", "by the new one"}
                    for one in (old, new)} == {True}  # fmt: skip
            caller.end()
            assert caller.answers().keys() == {"200"}
            # The release after it takes away what only the old version needed.
            write_revision(new_version, CONTRACT, before=EXPAND, change=DROP_DEFAULT, back=SET_DEFAULT)
            contracted = upgrade(new_version, url=owner_url, revision=CONTRACT)
            assert contracted.returncode == 0, contracted.stderr
            assert new.call("POST", "/v1/items", token=token, json={"title": "after"}).status_code == 201
            refused = old.call("POST", "/v1/items", token=token, json={"title": "too late"})
            assert refused.status_code >= 500  # what expand and contract are two steps for


def test_migration_steps_back_from_a_long_transaction_and_gets_through_after_it(
    postgres_server: PostgresServer, realms: DevRealmServer, new_version: Path, tmp_path: Path
) -> None:
    """Who waits for a table's lock stops everybody that comes behind: items must go on being read meanwhile."""
    owner_url = postgres_server.create_database()
    migrating.upgrade(owner_url)
    variables = {"TENANTS_DATABASE_URL": postgres_server.app_url(owner_url)}
    with replicas(folder(tmp_path, "old"), realms, count=1, workers=1, variables=variables) as old:
        token = old.onboard("acme", realm="acme")
        done: list[subprocess.CompletedProcess[str]] = []
        with long_transaction(postgres_server, owner_url=owner_url):

            def migrate() -> None:
                done.append(upgrade(new_version, url=owner_url, revision=EXPAND, lock_timeout=240))

            migration = threading.Thread(target=migrate, daemon=True)
            migration.start()
            for _ in range(3):
                wait_for(lambda: waits_for_a_lock(owner_url), what="the migration waits for the table")
                assert titles(old.base_url, old.client, token=token) == set()  # behind it, until it steps back
                wait_for(lambda: not waits_for_a_lock(owner_url), what="the migration steps back")
                assert titles(old.base_url, old.client, token=token) == set()
            assert not done
        migration.join(300)
        assert [one.returncode for one in done] == [0], done
        assert migrating.current(owner_url) == EXPAND
        assert old.call("POST", "/v1/items", token=token, json={"title": "one"}).status_code == 201


def test_migration_that_never_gets_its_table_says_so_and_leaves_nothing(
    postgres_server: PostgresServer, new_version: Path
) -> None:
    owner_url = postgres_server.create_database()
    migrating.upgrade(owner_url)
    before = migrating.current(owner_url)
    with long_transaction(postgres_server, owner_url=owner_url):
        failed = upgrade(new_version, url=owner_url, revision=EXPAND, lock_timeout=1)
    assert failed.returncode == 1
    assert "a transaction has held a table for 1 s" in failed.stderr
    assert migrating.current(owner_url) == before


def write_revision(tree: Path, revision: str, *, before: str, change: str, back: str) -> None:
    filled = REVISION.format(message=change, revision=revision, before=before, change=change, back=back)
    (tree / "migrations" / "versions" / f"{revision}_of_the_new_version.py").write_text(filled)


def upgrade(tree: Path, *, url: str, revision: str, lock_timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Migrate with the new version's code, in a process of its own."""
    program = (
        "import sys; from tenants_api.database import migrations as migrating\n"
        "try: migrating.upgrade(sys.argv[1], revision=sys.argv[2], lock_timeout=float(sys.argv[3]))\n"
        "except migrating.MigrationError as error: sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", program, url, revision, str(lock_timeout)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def long_transaction(server: PostgresServer, *, owner_url: str) -> Iterator[None]:
    """Somebody has read the items and does not end, like a report or a forgotten psql."""
    address = server.superuser_url(owner_url).replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        connection.execute("select count(*) from items")
        yield


def waits_for_a_lock(url: str) -> bool:
    query = text("select count(*) from pg_locks where not granted")
    return bool(migrating.read(url, lambda connection: connection.scalar(query)))


def titles(base_url: str, client: httpx.Client, *, token: str) -> set[str]:
    answer = client.get(f"{base_url}/v1/items", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return {item["title"] for item in answer.json()["data"]}


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made
