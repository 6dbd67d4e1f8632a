"""Connections to PostgreSQL, with what the whole API's engine sets on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from tenants_api.database.errors import StorageError
from tenants_api.database.options import POSTGRES_OPTIONS
from tenants_api.database.postgres import cut
from tenants_api.database.urls import postgres_parameters
from tenants_api.direct.connections import Row
from tenants_api.registry.listener import Listener
from tenants_api.registry.storage import FileMark

GRACE = 5.0  # seconds beyond the server's own limit after which a server that says nothing is given up


class PostgresConnection:
    """See `Connection`. `limit` is in seconds: the server ends a longer statement."""

    is_postgresql = True

    def __init__(self, driver: psycopg.AsyncConnection[Row], *, limit: float) -> None:
        self._driver, self._limit = driver, limit

    async def begin(self, *, writes: bool) -> None:
        # The limit belongs to the transaction: among a connection's own parameters PgBouncer would refuse it.
        await self.run(f"begin; set local statement_timeout = {round(self._limit * 1000)}")

    async def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        giving_up = asyncio.get_running_loop().call_later(self._limit + GRACE, cut, self._driver)
        try:
            cursor = await self._driver.execute(statement.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []
        except (psycopg.Error, OSError) as error:
            raise StorageError(error) from error
        finally:
            giving_up.cancel()

    async def commit(self) -> None:
        await self.run("commit")

    async def aclose(self) -> None:
        await self._driver.close()


class PostgresDriver:
    """Makes connections to the server, or to one of the servers, of a URL."""

    is_postgresql = True

    def __init__(self, url: str, *, statement_timeout: float) -> None:
        self._parameters: dict[str, Any] = postgres_parameters(url) | dict(POSTGRES_OPTIONS)
        self._limit = statement_timeout

    async def connect(self) -> PostgresConnection:
        """Raises StorageError."""
        try:
            driver = await psycopg.AsyncConnection.connect(autocommit=True, **self._parameters)
        except (psycopg.Error, OSError) as error:
            raise StorageError(error) from error
        return PostgresConnection(driver, limit=self._limit)

    def file_mark(self) -> FileMark | None:
        """See `RegistryStorage`."""
        return None

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listener:
        """See `RegistryStorage`."""
        return Listener(url, on_news=on_news, on_connect=on_connect)
