"""`RegistryStorage` over the sessions of a database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import import_module

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.errors import StorageBusy
from tenants_api.db import Database, translated
from tenants_api.registry import changes, conditions, keys, rejections
from tenants_api.registry.data_version import DataVersion
from tenants_api.registry.storage import Listening
from tenants_api.registry.values import Health, Refused, StoredKeys, TenantRow

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
        self._writing = asyncio.Lock()  # of two connections one is always there to read

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
        """One transaction at a time that writes.

        Raises:
            StorageBusy: the write before it, which a server that hangs may hold up, did not end in time.
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

    async def store_keys(self, stored: StoredKeys, *, tell: bool) -> bool:
        async with self._write() as session:
            return await keys.store_keys(session, stored, tell=tell)

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

    def file_mark(self) -> DataVersion | None:
        path = self._database.file
        return DataVersion(self._database.url, path=path) if path else None

    def listener(self, url: str, *, on_news: Callable[[int], None], on_connect: Callable[[], None]) -> Listening:
        # Only where the database is PostgreSQL: its driver takes as long to import as Alembic.
        kind: Callable[..., Listening] = import_module("tenants_api.registry.listener").Listener
        return kind(url, on_news=on_news, on_connect=on_connect)
