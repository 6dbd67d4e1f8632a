"""`RegistryStorage` and `KeyStorage` over a driver's connections: all that forward auth alone knows of the database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Protocol

from tenants_api.assertion.storage import SealedKey
from tenants_api.database.roles import ROLE_QUERY, DatabaseRole, faults_of, reason_not_to_serve
from tenants_api.database.urls import is_sqlite
from tenants_api.direct import writing
from tenants_api.direct.connections import Connection, Connections
from tenants_api.direct.reading import DirectReading, marks
from tenants_api.registry.storage import FileMark, Listening
from tenants_api.registry.values import Health, Refused, StoredKeys

SIGNING_KEYS = "select sequence, signs_from, sealed from assertion_keys order by sequence"
ADD_SIGNING_KEY = """
    insert into assertion_keys (sequence, signs_from, sealed, created_at) values (%s, %s, %s, %s)
    on conflict (sequence) do nothing returning sequence
"""
FORGET_SIGNING_KEYS = "delete from assertion_keys where sequence in "


class Driver(Protocol):
    """Makes connections of one database."""

    is_postgresql: bool

    async def connect(self) -> Connection:
        """Raises StorageError."""

    def file_mark(self) -> FileMark | None:
        """See `RegistryStorage`."""

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        """See `RegistryStorage`."""


def open_storage(url: str, *, statement_timeout: float) -> DirectStorage:
    """Nothing is connected yet. Only the driver that the URL names is imported: psycopg alone is 6 MB.

    Raises:
        BadUrl: the URL cannot be read.
    """
    home, name = ("sqlite", "SqliteDriver") if is_sqlite(url) else ("postgres", "PostgresDriver")
    kind: Callable[..., Driver] = getattr(import_module(f"tenants_api.direct.{home}"), name)
    return DirectStorage(kind(url, statement_timeout=statement_timeout))


class DirectStorage:
    """See `RegistryStorage` and `KeyStorage`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._connections = Connections(driver.connect)

    @property
    def is_postgresql(self) -> bool:
        return self._driver.is_postgresql

    @asynccontextmanager
    async def read(self) -> AsyncIterator[DirectReading]:
        async with self._connections.transaction(writes=False) as connection:
            yield DirectReading(connection)

    async def store_keys(self, keys: StoredKeys, *, tell: bool) -> bool:
        async with self._connections.transaction(writes=True) as connection:
            return await writing.store_keys(connection, keys, tell=tell)

    async def set_health(
        self, realm_id: uuid.UUID, *, issuer: str, realm_url: str, health: Health, reason: str | None
    ) -> None:
        async with self._connections.transaction(writes=True) as connection:
            await writing.set_health(
                connection, realm_id, issuer=issuer, realm_url=realm_url, health=health, reason=reason
            )

    async def add_rejections(self, counts: Mapping[Refused, int], *, now: datetime) -> None:
        async with self._connections.transaction(writes=True) as connection:
            await writing.add_rejections(connection, counts, now=now)

    async def assertion_keys(self) -> list[SealedKey]:
        async with self._connections.transaction(writes=False) as connection:
            rows = await connection.run(SIGNING_KEYS)
        return [SealedKey(sequence, signs_from, bytes(sealed)) for sequence, signs_from, sealed in rows]

    async def add_assertion_key(self, key: SealedKey, *, outdated: Collection[int]) -> bool:
        values = key.sequence, key.signs_from, key.sealed, datetime.now(UTC)
        async with self._connections.transaction(writes=True) as connection:
            if not await connection.run(ADD_SIGNING_KEY, values):
                return False
            if outdated:
                await connection.run(FORGET_SIGNING_KEYS + marks(outdated), list(outdated))
        return True

    async def why_not_serve(self, *, environment: str) -> str | None:
        """Why this database's role may not serve in this environment; None when it may. See `row_security`."""
        if environment != "production" or not self.is_postgresql:
            return None
        async with self._connections.transaction(writes=False) as connection:
            (row,) = await connection.run(ROLE_QUERY)
        return reason_not_to_serve(faults_of(DatabaseRole(*row)))

    def file_mark(self) -> FileMark | None:
        return self._driver.file_mark()

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        return self._driver.listener(url, on_news=on_news, on_connect=on_connect)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()
