"""Whether anybody wrote to the SQLite file since the last look: `PRAGMA data_version` on a connection kept for it.

SQLite counts it up for every commit by another connection, so a look at an idle file reads no table.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants_api.db import Database


class DataVersion:
    """The number, and the last one after which the file was read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._seen: int | None = None

    async def read(self) -> int:
        """The number now. It means something only beside another one of the same connection.

        Raises:
            SQLAlchemyError: the file cannot be read.
        """
        if self._connection is None:
            self._connection = await self._database.engine.connect()
            self._seen = None
        raw: Any = (await self._connection.get_raw_connection()).driver_connection
        try:
            async with raw.execute("PRAGMA data_version") as cursor:
                (number,) = await cursor.fetchone()
        except sqlite3.Error as error:
            raise OperationalError("PRAGMA data_version", None, error) from error
        return int(number)

    def unchanged(self, number: int | None) -> bool:
        """Whether nobody wrote since the number that was `seen`."""
        return number is not None and self._seen == number

    def seen(self, number: int | None) -> None:
        """The file was read after this number was."""
        self._seen = number

    async def aclose(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
