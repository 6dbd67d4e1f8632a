"""Whether anybody wrote to the SQLite file since the last look: `PRAGMA data_version` on a connection kept for it.

SQLite counts it up for every commit by another connection, so a look at an idle file reads no table.
"""

from __future__ import annotations

import sqlite3

import aiosqlite

from tenants_api.database.errors import StorageError
from tenants_api.database.files import FileIdentity
from tenants_api.db import connect_arguments

OPEN_TIMEOUT_SECONDS = 5.0  # that it waits for a writer


class DataVersion:
    """The number, and the last one after which the file was read. `path` is that of the URL's file."""

    def __init__(self, url: str, *, path: str) -> None:
        self._url, self._identity = url, FileIdentity(path)
        self._connection: aiosqlite.Connection | None = None
        self._seen: int | None = None

    async def read(self) -> int:
        """The number now. It means something only beside another one of the same connection.

        Raises:
            StorageError: the file cannot be read, or another one is at its path now.
        """
        try:
            if self._connection is None:
                self._connection = await self._open()
                self._seen = None
            self._identity.check()
            async with self._connection.execute("PRAGMA data_version") as cursor:
                (number,) = await cursor.fetchone() or (0,)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(error) from error
        return int(number)

    def unchanged(self, number: int | None) -> bool:
        """Whether nobody wrote since the number that was `seen`."""
        return number is not None and self._seen == number

    def seen(self, number: int | None) -> None:
        """The file was read after this number was."""
        self._seen = number

    async def aclose(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _open(self) -> aiosqlite.Connection:
        (name,), options = connect_arguments(self._url)
        uri = options.get("uri", False)
        opening = aiosqlite.connect(name, uri=uri, timeout=OPEN_TIMEOUT_SECONDS, isolation_level=None)
        opening._thread.daemon = True  # one that nobody could close any more must not hold up the end of a process
        return opening
