"""`RegistryStorage` over the sessions of a database."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import import_module

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import Database, FileIdentity, connect_arguments, translated
from tenants_api.database.errors import StorageBusy, StorageError
from tenants_api.registry import changes, conditions, keys, rejections
from tenants_api.registry.values import Health, LearnedConditions, Refused, StoredKeys, TenantRow
from tenants_api.replica.storage import Listening

OPEN_TIMEOUT_SECONDS = 5.0  # for a writer that holds the file


class DataVersion:
    """See `FileMark`: SQLite's `PRAGMA data_version`. `path` is that of the URL's file."""

    def __init__(self, url: str, *, path: str) -> None:
        self._url, self._identity = url, FileIdentity(path)
        self._connection: aiosqlite.Connection | None = None
        self._seen: int | None = None

    async def read(self) -> int:
        """See `FileMark`. Raises StorageError also when another file is at the path now."""
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
        return number is not None and self._seen == number

    def seen(self, number: int | None) -> None:
        self._seen = number

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _open(self) -> aiosqlite.Connection:
        (name,), options = connect_arguments(self._url)
        uri = options.get("uri", False)
        opening = aiosqlite.connect(name, uri=uri, timeout=OPEN_TIMEOUT_SECONDS, isolation_level=None)
        opening._thread.daemon = True  # an unclosed connection must not delay the end of the process
        return opening


WRITE_TURN_SECONDS = 30.0  # that a write waits for the one before it


class SessionReading:
    """See `Reading`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def current_version(self) -> int:
        return await changes.current_version(self._session)

    def load_all(self) -> AsyncGenerator[list[TenantRow], None]:
        return changes.load_all(self._session)

    async def changed_since(self, version: int) -> list[TenantRow]:
        return await changes.changed_since(self._session, version=version)

    async def organization_issuers(self, since: int) -> list[str]:
        return await changes.organization_issuers(self._session, since=since)

    async def load_keys(self, realm_ids: Collection[uuid.UUID]) -> list[StoredKeys]:
        return await keys.load_keys(self._session, realm_ids=realm_ids)

    def load_all_keys(self) -> AsyncGenerator[list[StoredKeys], None]:
        return keys.load_all_keys(self._session)


class SessionStorage:
    """See `RegistryStorage`."""

    def __init__(self, database: Database, *, write_turn: float = WRITE_TURN_SECONDS) -> None:
        self._database, self._write_turn = database, write_turn
        self._writing = asyncio.Lock()  # of two connections one is always free to read

    @property
    def is_postgresql(self) -> bool:
        return self._database.is_postgresql

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SessionReading]:
        with translated():
            async with self._database.read() as session:
                yield SessionReading(session)

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that writes, one at a time.

        Raises:
            StorageBusy: the write before it did not end in time.
        """
        try:
            async with asyncio.timeout(self._write_turn):
                await self._writing.acquire()
        except TimeoutError as error:
            raise StorageBusy(error) from error
        try:
            with translated():
                async with self._database.begin() as session:
                    yield session
        finally:
            self._writing.release()

    async def store_keys(self, stored: StoredKeys, *, notify: bool) -> bool:
        async with self._write() as session:
            return await keys.store_keys(session, stored, notify=notify)

    async def set_health(
        self, realm_id: uuid.UUID, *, issuer: str, realm_url: str, health: Health, reason: str | None
    ) -> None:
        async with self._write() as session:
            await conditions.set_health(
                session, realm_id=realm_id, issuer=issuer, realm_url=realm_url, health=health, reason=reason
            )

    async def add_rejections(self, counts: Mapping[Refused, int], *, now: datetime) -> None:
        async with self._write() as session:
            await rejections.add_rejections(session, counts, now=now)

    async def learn_conditions(self, learned: Sequence[LearnedConditions], *, now: datetime) -> set[uuid.UUID]:
        with translated():
            async with self._database.read() as session:
                unknown = await conditions.not_learned(session, learned)
        outdated = set()
        for one in unknown:
            async with self._write() as session:
                if not await conditions.learn(session, one, now=now):
                    outdated.add(one.realm_id)
        return outdated

    def file_mark(self) -> DataVersion | None:
        path = self._database.file
        return DataVersion(self._database.url, path=path) if path else None

    def listener(self, url: str, *, on_notify: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        # Imported only for PostgreSQL: its driver takes as long to import as Alembic.
        kind: Callable[..., Listening] = import_module("tenants_api.replica.listener").Listener
        return kind(url, on_notify=on_notify, on_connect=on_connect)
