"""Migrations: up and down with rows in the tables, what the models need, and one line when they cannot run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, inspect, text

from tenants_api import items as items_models
from tenants_api.assertions import storage as assertion_models
from tenants_api.control import idempotency
from tenants_api.control.admin_keys import create_admin_key
from tenants_api.control.login_tries import LoginTry, count_try
from tenants_api.database import migrations as migrating
from tenants_api.database import revisions
from tenants_api.database.engine import Base, Database, UtcDateTime
from tenants_api.database.migrations import MigrationError
from tenants_api.items import create_item
from tenants_api.registry import conditions
from tenants_api.registry import models as registry_models
from tenants_api.registry.keys import store_keys
from tenants_api.registry.rejections import add_rejections
from tenants_api.registry.values import ConditionValue, Health, Refused, StoredKeys
from tests.registry.drafts import CHANGE, RULES, create, origin_of, purge, realm

MODELS = (registry_models, items_models, assertion_models)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST = "0001"


def on(url: str, work: Callable[[Database], object]) -> None:
    """Run the coroutine that `work` gives, on an event loop and a database of its own."""

    async def run() -> None:
        database = Database(url)
        try:
            await work(database)  # type: ignore[misc]
        finally:
            await database.aclose()

    asyncio.run(run())


async def fill(database: Database) -> None:
    """At least one row in every table."""
    await create(database, "globex")
    await purge(database, "globex")
    realms = (realm("acme"), realm("acme", organization="red"))
    tenant = await create(database, "acme", role_mapping=RULES, realms=realms)
    realm_id = tenant.realms[0].id
    async with database.begin() as session:
        await store_keys(session, StoredKeys(realm_id, b"{}", "a" * 64, NOON, 0, True, **origin_of("acme")))
        told = [ConditionValue("Ready", "True", "Ready", "told")]
        await conditions.store_conditions(
            session, realm_id=realm_id, version=1, conditions=told, health=Health.HEALTHY, now=NOON
        )
        await create_admin_key(session, name="ci", scopes=("tenants:read",), expires_at=None, change=CHANGE)
        await idempotency.reserve(session, actor_id="a", key="k", fingerprint="f", now=NOON)
        await count_try(session, LoginTry("acme", "alice", "192.0.2.1"), rate=1, now=0)
        await add_rejections(session, {Refused(tenant.id, "token_expired"): 1}, now=NOON)
    async with database.begin() as session:
        session.add(assertion_models.AssertionKey(sequence=1, signs_from=0, sealed=b"s"))
    async with database.begin(tenant_id=tenant.id) as session:
        await create_item(session, tenant_id=tenant.id, title="Item", body=None, created_by="s")


def counts(url: str) -> dict[str, int]:
    """How many rows each table has, seen as the tenant acme."""
    with connected(url) as connection:
        tables = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
        if connection.dialect.name == "postgresql" and "items" in tables:
            connection.execute(text("select set_config('app.tenant_id', id::text, true) from tenants"))
        return {name: connection.scalar(text(f"select count(*) from {name}")) or 0 for name in tables}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """One transaction as the owner."""
    engine = migrating.sync_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def test_up_down_and_up_again_with_rows_in_every_table(empty_url: str) -> None:
    migrating.upgrade(empty_url)
    on(empty_url, fill)
    full = counts(empty_url)
    assert set(full) == set(Base.metadata.tables)
    assert [name for name, count in full.items() if not count] == []
    migrating.downgrade(empty_url, revision=FIRST)
    assert counts(empty_url) == {"tenants": 1}
    migrating.upgrade(empty_url)
    assert migrating.current(empty_url) == revisions.head()
    on(empty_url, lambda database: create(database, "initech"))
    migrating.downgrade(empty_url, revision="base")
    assert counts(empty_url) == {}


def test_every_single_revision_can_be_taken_back_and_done_again(empty_url: str) -> None:
    migrating.upgrade(empty_url)
    on(empty_url, fill)
    for revision in reversed(migrating.history()):
        migrating.downgrade(empty_url, revision=revision.down_revision or "base")
        assert migrating.current(empty_url) == revision.down_revision
        if revision.down_revision is not None:
            migrating.upgrade(empty_url, revision=revision.revision)
            migrating.downgrade(empty_url, revision=revision.down_revision)


def test_migrated_database_is_what_the_models_need(empty_url: str) -> None:
    migrating.upgrade(empty_url)
    assert migrating.check(empty_url, metadata=Base.metadata) == []


@pytest.mark.parametrize(
    ("version", "age", "kept"), [(1, 0, True), (2, 3600, True), (2, 30, False), (2, -30, False)], ids=str
)
def test_stored_keys_are_taken_over_only_by_a_realm_that_was_not_changed_since(
    empty_url: str, version: int, age: int, kept: bool
) -> None:
    """`age` is the seconds from the realm's last change to the fetch of its keys."""
    migrating.upgrade(empty_url)
    on(empty_url, fill)
    migrating.downgrade(empty_url, revision="0018")
    changed = NOON - timedelta(seconds=age)
    with connected(empty_url) as connection:
        connection.execute(
            text("update realms set version = :version, updated_at = :changed").bindparams(
                bindparam("changed", changed, UtcDateTime())
            ),
            {"version": version},
        )
    migrating.upgrade(empty_url)
    with connected(empty_url) as connection:
        rows = connection.execute(text("select issuer, realm_url from realm_keys")).all()
    assert [tuple(row) for row in rows] == [tuple(origin_of("acme").values()) if kept else (None, None)]


def test_forgotten_migration_is_found(empty_url: str) -> None:
    migrating.upgrade(empty_url, revision="0012")
    assert "ix_idempotency_keys_created_at" in "".join(migrating.check(empty_url, metadata=Base.metadata))


def test_revisions_stand_in_one_line() -> None:
    line = migrating.history()
    assert line[0].down_revision is None
    assert [one.down_revision for one in line[1:]] == [one.revision for one in line[:-1]]
    assert line[-1].revision == revisions.head()
    assert [one.revision for one in line if not one.message] == []


def test_upgrade_can_stop_at_a_revision(empty_url: str) -> None:
    migrating.upgrade(empty_url, revision="0003")
    assert migrating.current(empty_url) == "0003"
    on(empty_url, lambda database: is_not_at_head(database))
    migrating.upgrade(empty_url)
    on(empty_url, lambda database: is_migrated(database))


def test_newer_schema_is_one_to_serve_on(empty_url: str) -> None:
    """The old version goes on until the new one, whose migrations ran before it started, has taken over."""
    migrating.upgrade(empty_url)
    engine = migrating.sync_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    on(empty_url, lambda database: is_migrated(database))


async def is_migrated(database: Database) -> None:
    assert await revisions.is_migrated(database)


async def is_not_at_head(database: Database) -> None:
    assert not await revisions.is_migrated(database)


def test_database_that_was_never_migrated_has_no_revision(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "tenants.db").touch()
    assert migrating.current(empty_url) is None


def test_revision_that_fails_leaves_nothing_half_done(empty_url: str) -> None:
    migrating.upgrade(empty_url, revision="0011")
    with connected(empty_url) as connection:  # takes the name of the index that 0012 makes after its table
        connection.execute(text("create table ix_purged_tenants_changed_version (id integer)"))
    with pytest.raises(MigrationError):
        migrating.upgrade(empty_url)
    assert migrating.current(empty_url) == "0011"
    assert "purged_tenants" not in counts(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("drop table ix_purged_tenants_changed_version"))
    migrating.upgrade(empty_url)


def test_unknown_revision_is_one_line_with_the_cure(empty_url: str) -> None:
    with pytest.raises(MigrationError, match=r"'9999'.*tenants-api db history") as failed:
        migrating.upgrade(empty_url, revision="9999")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("act", [migrating.current, lambda url: migrating.downgrade(url, revision="base")])
def test_file_that_is_absent_is_told_and_not_made(tmp_path: Path, act: Callable[[str], object]) -> None:
    path = tmp_path / "typo.db"
    with pytest.raises(MigrationError, match=r"no database at .*typo\.db.*tenants-api db upgrade"):
        act(f"sqlite+aiosqlite:///{path}")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_absent_is_told(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"the folder of .* does not exist"):
        migrating.upgrade(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'tenants.db'}")


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_server_that_refuses_is_one_line_without_the_password(postgres_url: str) -> None:
    wrong = postgres_url.replace("tenants_owner@", "tenants_owner:secret-word@").replace("/test_", "/absent_")
    with pytest.raises(MigrationError, match=r"does not exist.*TENANTS_DATABASE_URL") as failed:
        migrating.upgrade(wrong)
    assert "secret-word" not in str(failed.value)
    assert "\n" not in str(failed.value)


def test_migrations_are_found_beside_the_package_and_inside_a_wheel(tmp_path: Path) -> None:
    assert (revisions.script_location() / "env.py").is_file()
    installed = tmp_path / "100% installed"
    shutil.copytree(revisions.script_location(), installed / "_migrations")
    assert revisions.script_location(installed) == installed / "_migrations"


def test_revisions_are_read_as_alembic_reads_them() -> None:
    """Serving asks `revisions`, which reads the files itself; migrating asks Alembic."""
    told = {revision.revision: revision.down_revision or "" for revision in migrating.history()}
    assert revisions.known() == told
    assert revisions.head() == migrating.history()[-1].revision
