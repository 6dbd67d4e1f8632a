"""Connections to an SQLite file, with what the whole API's engine sets on its own."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiosqlite

from tenants_api.database.errors import StorageError
from tenants_api.database.options import LOCK_TIMEOUT, SQLITE_SET_UP
from tenants_api.database.urls import SqliteFile, sqlite_file
from tenants_api.direct.connections import Row
from tenants_api.registry.data_version import DataVersion, open_file
from tenants_api.registry.storage import Listening


class SqliteConnection:
    """See `Connection`."""

    is_postgresql = False

    def __init__(self, driver: aiosqlite.Connection) -> None:
        self._driver = driver

    async def begin(self, *, writes: bool) -> None:
        # A deferred transaction that reads first and writes later fails at once when another writer came between.
        await self.run("begin immediate" if writes else "begin")

    async def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        bound = [_bound(value) for value in values]
        try:
            rows = await self._driver.execute_fetchall(statement.replace("%s", "?"), bound)
        except (sqlite3.Error, ValueError) as error:  # ValueError: aiosqlite's word for a connection that was closed
            raise StorageError(error) from error
        return [tuple(row) for row in rows]

    async def commit(self) -> None:
        await self.run("commit")

    async def aclose(self) -> None:
        await self._driver.close()


class SqliteDriver:
    """Makes connections to the file of a URL."""

    is_postgresql = False

    def __init__(self, url: str, *, statement_timeout: float) -> None:
        self._file: SqliteFile = sqlite_file(url)

    async def connect(self) -> SqliteConnection:
        """Raises StorageError."""
        connection = SqliteConnection(await open_file(self._file, patience=LOCK_TIMEOUT))
        try:
            for statement in SQLITE_SET_UP:
                await connection.run(statement)
        except BaseException:
            await connection.aclose()
            raise
        return connection

    def file_mark(self) -> DataVersion | None:
        """See `RegistryStorage`."""
        return None if self._file.memory else DataVersion(self._file)

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        """A file notifies nobody: nothing asks for this."""
        raise NotImplementedError


def _bound(value: Any) -> Any:
    """As the columns hold it: ids as 32 hex digits, times as text in UTC."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value
