"""One migration at a time, whichever way in: `alembic` in a checkout, or the runner that the CLI uses."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tenants_api import items as items_models
from tenants_api.assertions import storage as assertion_models
from tenants_api.database import migrations as migrating
from tenants_api.database import revisions
from tenants_api.database.engine import Base
from tenants_api.database.migrations import MigrationError
from tenants_api.registry import models as registry_models

MODELS = (registry_models, items_models, assertion_models)  # imported so that their tables are in the metadata
ROOT = Path(__file__).parents[2]
LOCK = 7_406_114_583_105_001
BY_ALEMBIC = ["-m", "alembic", "upgrade", "head"]
BY_CLI = ["-c", "from tenants_api.cli import main; main()", "db", "upgrade"]


@pytest.mark.servers
def test_eight_upgrades_of_an_empty_database_at_once_all_succeed(empty_url: str) -> None:
    environment = {**os.environ, "TENANTS_DATABASE_URL": empty_url, "TENANTS_DATABASE_DIRECT_URL": ""}
    running = [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for arguments in [BY_ALEMBIC, BY_CLI] * 4
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 8, "\n".join(said)
    assert migrating.current(empty_url) == revisions.head()
    assert migrating.check(empty_url, metadata=Base.metadata) == []


def test_migration_waits_for_another_only_so_long(empty_url: str) -> None:
    with lock_held(empty_url), pytest.raises(MigrationError, match=r"another migration has held the lock for 0\.2 s"):
        migrating.upgrade(empty_url, lock_timeout=0.2)
    migrating.upgrade(empty_url, lock_timeout=0.2)


@contextmanager
def lock_held(url: str) -> Iterator[None]:
    """Somebody else migrates."""
    if url.startswith("sqlite"):
        with Path(f"{make_url(url).database}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        return
    engine = migrating.sync_engine(url)
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
        yield
    engine.dispose()
