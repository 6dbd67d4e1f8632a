"""Alembic's environment, for the CLI, `alembic` in a checkout, and the tests.

One migration runs at a time: on PostgreSQL under a session-wide advisory lock on a connection of its own, on SQLite
under a lock on a file beside the database.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.exc import OperationalError

from tenants_api import items as items_models
from tenants_api.assertions import storage as assertion_models
from tenants_api.database.engine import Base
from tenants_api.database.migrations import MIGRATION_LOCK_TIMEOUT_SECONDS, sync_engine, sync_url
from tenants_api.registry import models as registry_models
from tenants_api.settings import load_settings

ADVISORY_LOCK_ID = 7_406_114_583_105_001  # an arbitrary integer that no other application on this database uses
TABLE_LOCK_TIMEOUT_SECONDS = 2
LOCK_NOT_AVAILABLE = "55P03"
MODELS = (registry_models, items_models, assertion_models)  # imported so that their tables are in the metadata


def _url() -> str:
    return sync_url(context.config.attributes.get("url") or load_settings().direct_url)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=True,  # SQLite changes a table by creating another one
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run() -> None:
    url = _url()
    if context.is_offline_mode():
        context.configure(url=url, target_metadata=Base.metadata, literal_binds=True, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = sync_engine(url)
    try:
        if engine.dialect.name == "postgresql":
            _on_postgresql(engine)
        else:
            _on_sqlite(engine, path=make_url(url).database)
    finally:
        engine.dispose()


def _on_postgresql(engine: Engine) -> None:
    lock = {"lock": ADVISORY_LOCK_ID}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holder:
        _wait_for(lambda: bool(holder.scalar(text("select pg_try_advisory_lock(:lock)"), lock)))
        try:
            _retry_while_locked(lambda: _once_on_postgresql(engine))
        finally:
            holder.execute(text("select pg_advisory_unlock(:lock)"), lock)


def _once_on_postgresql(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"set lock_timeout = '{TABLE_LOCK_TIMEOUT_SECONDS}s'"))
        connection.execute(text("set statement_timeout = '10min'"))
        connection.commit()
        _migrate(connection)


def _retry_while_locked(migrate: Callable[[], None]) -> None:
    # A statement that waits for a table's lock blocks all later ones: it fails after TABLE_LOCK_TIMEOUT_SECONDS, and is
    # repeated. A revision is one transaction, so failed attempts leave nothing behind.
    lock_timeout: float = context.config.attributes.get("lock_timeout", MIGRATION_LOCK_TIMEOUT_SECONDS)
    deadline = time.monotonic() + lock_timeout
    while True:
        try:
            return migrate()
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() >= deadline:
                raise TimeoutError(f"a transaction has held a table for {lock_timeout:g} s") from error
            time.sleep(TABLE_LOCK_TIMEOUT_SECONDS)


def _on_sqlite(engine: Engine, *, path: str | None) -> None:
    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver would run DDL outside of every transaction: see _begin
        # Replacing a table would delete the rows that refer to it (ON DELETE CASCADE).
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with _file_lock(path), engine.connect() as connection:
        _migrate(connection)


@contextmanager
def _file_lock(path: str | None) -> Iterator[None]:
    if not path or path == ":memory:":
        yield
        return
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder of {path} does not exist")
    with Path(f"{path}.lock").open("w") as handle:
        _wait_for(lambda: _try_lock(handle.fileno()))
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(acquire: Callable[[], bool]) -> None:
    lock_timeout: float = context.config.attributes.get("lock_timeout", MIGRATION_LOCK_TIMEOUT_SECONDS)
    deadline = time.monotonic() + lock_timeout
    while not acquire():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"another migration has held the lock for {lock_timeout:g} s")
        time.sleep(0.1)


_run()
