"""How Alembic reaches the database. Every way in passes here: the CLI, `alembic` in a checkout, the tests.

One migration runs at a time: on PostgreSQL behind an advisory lock on a connection of its own (session-wide, so that
it outlives the transactions of single revisions), on SQLite behind a lock on a file beside the database.
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

LOCK = 7_406_114_583_105_001  # any number that no other application on this database uses
LOCK_TIMEOUT = 2  # seconds
LOCK_NOT_AVAILABLE = "55P03"
MODELS = (registry_models, items_models, assertion_models)  # imported so that their tables are in the metadata


def _url() -> str:
    return sync_url(context.config.attributes.get("url") or load_settings().direct_url)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=True,  # SQLite changes a table by making it anew
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
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as guard:
        _wait_for(lambda: bool(guard.scalar(text("select pg_try_advisory_lock(:lock)"), {"lock": LOCK})))
        try:
            _again_while_locked(lambda: _once_on_postgresql(engine))
        finally:
            guard.execute(text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})


def _once_on_postgresql(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}s'"))
        connection.execute(text("set statement_timeout = '10min'"))
        connection.commit()
        _migrate(connection)


def _again_while_locked(migrate: Callable[[], None]) -> None:
    """A change that waits for a lock stops all who come behind it: it steps back after LOCK_TIMEOUT, and tries again.

    A revision is one transaction: the tries before left nothing of it.
    """
    patience: float = context.config.attributes.get("patience", MIGRATION_LOCK_TIMEOUT_SECONDS)
    deadline = time.monotonic() + patience
    while True:
        try:
            return migrate()
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() >= deadline:
                raise TimeoutError(f"a transaction has held a table for {patience:g} s") from error
            time.sleep(LOCK_TIMEOUT)


def _on_sqlite(engine: Engine, *, path: str | None) -> None:
    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver would run DDL outside of every transaction: see _begin
        # A table that is made anew would take its dependants' rows with it (ON DELETE CASCADE).
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
    patience: float = context.config.attributes.get("patience", MIGRATION_LOCK_TIMEOUT_SECONDS)
    deadline = time.monotonic() + patience
    while not acquire():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"another migration has held the lock for {patience:g} s")
        time.sleep(0.1)


_run()
