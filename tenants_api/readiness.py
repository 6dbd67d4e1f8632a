"""Checks whether a process may serve: at its start, where it raises `NotReady`, and at each probe."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import sys
from pathlib import Path

import structlog
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from tenants_api.assertions.minting import Assertions
from tenants_api.database.engine import Database, connect_arguments
from tenants_api.database.errors import StorageError, first_line
from tenants_api.database.revisions import is_migrated
from tenants_api.database.row_security import why_not_serve
from tenants_api.encoding.sealing import UNREADABLE, Unreadable
from tenants_api.replica.replica import RegistryReplica
from tenants_api.settings import Settings, misspelt_variables

CHECKS = ("database", "migrations", "registry", "feed")
CHECK_TIMEOUT_SECONDS = 2.0
log = structlog.get_logger("tenants_api.server")


class NotReady(Exception):
    """The database is absent or not migrated, or its role may not serve. The message is one line with a hint."""


def open_database(settings: Settings, *, pool_size: int) -> Database:
    """The engine of the settings' database, without a connection.

    Raises:
        NotReady: its URL is not valid, or its SQLite file does not exist (opening it would create an empty one).
    """
    try:
        connect_arguments(settings.direct_url)
        limit = settings.database_statement_timeout
        database = Database(settings.database_url, pool_size=pool_size, statement_timeout=limit)
    except (ArgumentError, ValueError) as error:
        raise NotReady(  # without SQLAlchemy's message, which may contain a password
            "TENANTS_DATABASE_URL is not valid; expected sqlite+aiosqlite:///path or"
            " postgresql+psycopg://user:password@host:port/database, several hosts as ?host=h1:p1&host=h2:p2"
        ) from error
    if database.file is not None and not Path(database.file).is_file():
        raise NotReady(f"there is no database at {database.file}; run `tenants-api db upgrade`")
    return database


def why_not_shared(settings: Settings, *, workers: int) -> str | None:
    """Why so many processes may not serve with these settings, in one line with a hint; None when they may."""
    if workers == 1 or settings.environment != "production" or not settings.database_url.startswith("sqlite"):
        return None
    return (
        f"{workers} workers on SQLite block each other's writes, which is allowed in development only; use one worker,"
        " PostgreSQL, or TENANTS_ENVIRONMENT=development"
    )


def workers_of_uvicorn() -> int:
    """How many workers `uvicorn --workers` or WEB_CONCURRENCY asks for, in one of them; 1 in any other process."""
    if multiprocessing.parent_process() is None:
        return 1
    given = re.search(r"\0--workers[=\0](\d+)", "\0".join(sys.argv))
    return int(given[1] if given else os.environ.get("WEB_CONCURRENCY") or 1)


async def load_registry(
    replica: RegistryReplica, *, database: Database, assertion: Assertions | None, environment: str, tenants: bool
) -> None:
    """Load the registry and the keys of assertions; without `tenants` only check that the registry can be read.

    Warns of misspelt settings when it loads: once in each process that serves.

    Raises:
        NotReady: the database cannot be reached, is not migrated, or its role passes row-level security in production.
    """
    for variable, nearest in misspelt_variables().items() if tenants else ():
        log.warning("unknown_setting", variable=variable, nearest=nearest)
    try:
        if not await is_migrated(database):
            raise NotReady("the database is not at the newest schema; run `tenants-api db upgrade`")
        if (reason := await why_not_serve(database, environment=environment)) is not None:
            raise NotReady(reason)
        await (replica.load() if tenants else replica.check_readable())
        if assertion is not None:
            await assertion.load()
    except Unreadable as error:
        raise NotReady(UNREADABLE) from error
    except (StorageError, SQLAlchemyError, OSError) as error:
        cause = (error.orig if isinstance(error, DBAPIError) else None) or error
        raise NotReady(
            f"the database cannot be used ({first_line(cause)}); check that it runs, and TENANTS_DATABASE_URL"
        ) from error


async def check(name: str, *, database: Database, replica: RegistryReplica) -> bool:
    """Whether this one of `CHECKS` passes now."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            match name:
                case "migrations":
                    return await is_migrated(database)
                case "registry":
                    return replica.loaded
                case "feed":
                    return replica.feed.alive
            await database.ping()
            return True
    except (SQLAlchemyError, OSError):
        return False
