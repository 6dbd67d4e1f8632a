"""Declarative base, column types, engine and sessions. Knows no table."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    AsyncAdaptedQueuePool,
    DateTime,
    Dialect,
    ExceptionContext,
    MetaData,
    QueuePool,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from tenants_api.database.errors import StorageBusy, StorageError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


class FileIdentity:
    """Device and inode of a file at the first check."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._first: tuple[int, int] | None = None
        self._lost: str | None = None  # never reset: a later file may get the inode of a deleted one

    def check(self) -> None:
        """Compare with the first check. Raises sqlite3.OperationalError when the path has another file now, or none."""
        self._first = self._first or self._stat()
        self.check_again()

    def check_again(self) -> None:
        """As `check`, but passes before the first one: opening the file may create it."""
        if self._first is None:
            return
        found = self._stat()
        if found != self._first:
            self._lost = self._lost or ("was deleted" if found is None else "was replaced")
        if self._lost is not None:
            raise sqlite3.OperationalError(
                f"the SQLite file {self._path!r} {self._lost} while this process had it open; restart the process, and "
                "stop it before the file is replaced"
            )

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


# Names of constraints are part of the schema: migrations on SQLite and PostgreSQL refer to them.
NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

STATEMENT_TIMEOUT_SECONDS = 30.0
POOL_TIMEOUT_SECONDS = 5.0  # for a free connection
CLOSE_TIMEOUT_SECONDS = 2.0
LOCK_TIMEOUT_SECONDS = 10.0  # that a writer of an SQLite file waits for another one
SQLITE_SET_UP = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON")
# prepare_threshold None: server-side prepared statements break behind PgBouncer in transaction mode.
POSTGRES_OPTIONS: Mapping[str, Any] = {"prepare_threshold": None, "connect_timeout": 5}  # seconds
READ_ONLY = "25006"  # read_only_sql_transaction
WRITABLE = ("read-write", "primary")  # values of libpq's target_session_attrs that ask for a primary


class Base(DeclarativeBase):
    """Base of every mapped class."""

    metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone; expected an aware datetime")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """One engine and its sessions. `file` is the path of an SQLite file, None for a server or a database in memory.

    Raises:
        ArgumentError, ValueError: the URL cannot be read. The message may repeat parts of it.
    """

    def __init__(self, url: str, *, pool_size: int = 10, statement_timeout: float = STATEMENT_TIMEOUT_SECONDS) -> None:
        self.url = url
        self.engine = _create_engine(url, pool_size=pool_size, statement_timeout=statement_timeout)
        limit = {"statement_timeout": f"{round(statement_timeout * 1000)}ms"}
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False, info=limit)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self.file = _file_of(self.engine.url)

    @asynccontextmanager
    async def begin(self, *, tenant_id: uuid.UUID | None = None) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        With `tenant_id` PostgreSQL's row-level security shows only that tenant's rows.
        """
        async with self.sessions() as session:
            bind_tenant(session, tenant_id=tenant_id)
            async with session.begin():
                # A deferred SQLite transaction that reads first and writes later fails when another connection has
                # written in between; one that begins as a writer waits.
                await session.connection(execution_options={"sqlite_begin": "BEGIN IMMEDIATE"})
                yield session

    @asynccontextmanager
    async def read(self, *, tenant_id: uuid.UUID | None = None) -> AsyncIterator[AsyncSession]:
        """One transaction that only reads; it never waits for a writer."""
        async with self.sessions() as session:
            bind_tenant(session, tenant_id=tenant_id)
            async with session.begin():
                yield session

    async def ping(self) -> None:
        """Execute `select 1`. Raises SQLAlchemyError or OSError."""
        async with self.engine.connect() as connection:
            await connection.execute(text("select 1"))

    async def aclose(self) -> None:
        """Close the pool, after a short wait for cancelled readers, which return connections in tasks of their own."""
        pool = self.engine.pool
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                while isinstance(pool, QueuePool) and pool.checkedout():  # noqa: ASYNC110 (the pool has no event)
                    await asyncio.sleep(0.01)
        await self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of SQLAlchemy to StorageError."""
    try:
        yield
    except PoolTimeout as error:
        raise StorageBusy(error) from error
    except (SQLAlchemyError, OSError) as error:
        raise StorageError((isinstance(error, DBAPIError) and error.orig) or error) from error


def bind_tenant(session: AsyncSession, *, tenant_id: uuid.UUID | None) -> None:
    """Bind the session to a tenant's rows; `_set_up` applies it at the start of each transaction."""
    session.sync_session.info["tenant_id"] = tenant_id


class TenantNeedsTransaction(Exception):
    """A session that is bound to a tenant has an AUTOCOMMIT connection, where transaction-local settings are lost."""


_LIMIT = text("select set_config('statement_timeout', :limit, true)")
_TENANT = text("select set_config('statement_timeout', :limit, true), set_config('app.tenant_id', :tenant, true)")


@event.listens_for(Session, "after_begin")
def _set_up(session: Session, transaction: Any, connection: Any) -> None:
    # Both settings are transaction-local, so that the next user of a pooled connection does not inherit them. PgBouncer
    # refuses `statement_timeout` among the connection's own parameters.
    if connection.dialect.name != "postgresql":
        return
    tenant_id = session.info.get("tenant_id")
    limit = session.info.get("statement_timeout", f"{STATEMENT_TIMEOUT_SECONDS:.0f}s")
    if tenant_id is None:
        connection.execute(_LIMIT, {"limit": limit})
        return
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise TenantNeedsTransaction
    connection.execute(_TENANT, {"limit": limit, "tenant": str(tenant_id)})


def upsert(session: AsyncSession, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of the dialect in use, with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    # Only this dialect is imported: PostgreSQL's takes a twentieth of the start of a process on SQLite.
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    statement: postgresql.Insert | sqlite.Insert = dialect.insert(table)
    return statement


def connect_arguments(url: str) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The driver's arguments of a URL. Raises ArgumentError or ValueError, whose messages may repeat parts of it."""
    parsed = make_url(url)
    return parsed.get_dialect()().create_connect_args(parsed)


def _file_of(url: URL) -> str | None:
    name = (url.database or "").removeprefix("file:")
    if url.get_backend_name() != "sqlite" or name in ("", ":memory:") or url.query.get("mode") == "memory":
        return None
    return os.path.abspath(name)


def _create_engine(url: str, *, pool_size: int, statement_timeout: float) -> AsyncEngine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        file = _file_of(parsed)
        # In memory, sessions use one connection in turn: two at once would share a transaction.
        one: dict[str, Any] = {"poolclass": AsyncAdaptedQueuePool, "pool_size": 1, "max_overflow": 0}
        engine = create_async_engine(
            url,
            json_deserializer=_from_json,
            connect_args={"timeout": LOCK_TIMEOUT_SECONDS},
            **({} if file else one),
        )
        event.listen(engine.sync_engine, "connect", _sqlite_pragmas)
        event.listen(engine.sync_engine, "begin", _sqlite_begin)
        if file:
            identity = FileIdentity(file)
            event.listen(engine.sync_engine, "do_connect", lambda *_: identity.check_again())
            event.listen(engine.sync_engine, "checkout", lambda *_: identity.check())
        return engine
    # Not imported at the top: a process on SQLite needs no psycopg.
    connect = import_module("tenants_api.database.postgres").watched_connect(statement_timeout=statement_timeout)
    engine = create_async_engine(
        url,
        json_deserializer=_from_json,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args={**POSTGRES_OPTIONS, "async_creator_fn": connect},
    )
    event.listen(engine.sync_engine, "handle_error", _leave_read_only_server)
    if engine.url.query.get("target_session_attrs") in WRITABLE:
        event.listen(engine.sync_engine, "checkout", _leave_reader)
    return engine


_read_json = json.JSONDecoder().decode


def _from_json(text: str | bytes) -> Any:
    """As `json.loads`, but without its detection of the encoding: loading the registry reads three texts a realm."""
    return _read_json(text if isinstance(text, str) else text.decode())


def _leave_read_only_server(context: ExceptionContext) -> None:
    """Invalidate connections to a primary that became a standby; new ones find the new primary (several hosts)."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _leave_reader(connection: Any, record: Any, fairy: Any) -> None:
    """Invalidate connections to a server that is no longer the primary: its rows may be outdated."""
    # PostgreSQL (14 and later) reports both settings on each connection; the ping before this read the last report.
    reported = connection.driver_connection.info.parameter_status
    if "on" in (reported("in_hot_standby"), reported("default_transaction_read_only")):
        raise InvalidatePoolError


def _sqlite_pragmas(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not open transactions of its own: see _sqlite_begin
    cursor = connection.cursor()
    for statement in SQLITE_SET_UP:
        cursor.execute(statement)
    cursor.close()


def _sqlite_begin(connection: Any) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))
