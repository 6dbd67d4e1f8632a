"""The storage of one database, and rows with a value of its own in every column."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from tenants_api.assertions.storage import KeyStorage, SessionKeys
from tenants_api.database.engine import Base, Database, UtcDateTime
from tenants_api.ids import new_id
from tenants_api.registry.values import StoredKeys, TenantRow
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.replica.storage import RegistryStorage
from tests.registry.drafts import origin_of

NOON = datetime(2026, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)
TIMEOUT = 2.0  # seconds for a statement

_numbers = itertools.count(2)


@dataclass(frozen=True)
class Store:
    """What a replica reads and writes in one database."""

    registry: RegistryStorage
    keys: KeyStorage

    async def version(self) -> int:
        async with self.registry.read() as reading:
            return await reading.current_version()

    async def all(self) -> list[TenantRow]:
        async with self.registry.read() as reading:
            return [tenant async for some in reading.load_all() for tenant in some]

    async def since(self, version: int) -> list[TenantRow]:
        async with self.registry.read() as reading:
            return await reading.changed_since(version)

    async def stored(self, *realm_ids: uuid.UUID) -> list[StoredKeys]:
        async with self.registry.read() as reading:
            if realm_ids:
                return await reading.load_keys(realm_ids)
            return [keys async for some in reading.load_all_keys() for keys in some]


@asynccontextmanager
async def opened_store(url: str, *, timeout: float = TIMEOUT) -> AsyncIterator[Store]:
    """Open it with as many connections as a process has for it."""
    database = Database(url, pool_size=2, statement_timeout=timeout)
    yield Store(SessionStorage(database), SessionKeys(database))
    await database.aclose()


def stored_keys(realm_id: uuid.UUID, **changes: Any) -> StoredKeys:
    """A stored set with a byte that no text has."""
    values = {
        "jwks": b'{"keys":[]}\xff',
        "digest": "a" * 64,
        "fetched_at": NOON,
        "not_before": 7,
        **origin_of("acme"),
        **changes,
    }
    return StoredKeys(**{"realm_id": realm_id, "realm_enabled": False, **values})


def filled(table: type[Base], **given: Any) -> Base:
    """A row in which no column holds its default or nothing: what a reader leaves out is seen."""
    mapper: Mapper[Any] = inspect(table)
    values = {one.key: given.get(one.key, _value_of(one.columns[0].type)) for one in mapper.column_attrs}
    return table(**values)


async def rows_of(database: Database, table: type[Base], **where: Any) -> list[dict[str, Any]]:
    """Every mapped column of these rows."""
    names = [one.key for one in inspect(table).column_attrs]
    async with database.read() as session:
        query = select(*(getattr(table, name).label(name) for name in names)).filter_by(**where)
        found = [dict(row._mapping) for row in await session.execute(query)]
    return sorted(found, key=str)


def _value_of(column: TypeEngine[Any]) -> Any:
    kind = datetime if isinstance(column, UtcDateTime) else column.python_type
    number = next(_numbers)
    makers: dict[type, Any] = {
        str: f"Wört '{number}' % %s ?",
        int: number << 40,  # more than 32 bits
        bool: number % 2 == 0,
        bytes: bytes([number % 256, 0, 255]),
        uuid.UUID: new_id(),
        datetime: NOON + timedelta(seconds=number),
        object: [f"ein Wört {number}", '"'],  # of a JSON column
    }
    return makers[kind]
