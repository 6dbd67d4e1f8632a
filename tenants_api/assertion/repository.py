"""The SQL of signing keys. Which of two replicas made the next one is the database's to decide."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from tenants_api.assertion.models import AssertionKey
from tenants_api.db import Database


async def load_rows(database: Database) -> list[AssertionKey]:
    """All stored keys, oldest first."""
    async with database.read() as session:
        return list(await session.scalars(select(AssertionKey).order_by(AssertionKey.sequence)))


async def add_row(database: Database, row: AssertionKey, *, outdated: Collection[int]) -> bool:
    """Store a key and remove the outdated ones; False when another replica took its place in the sequence."""
    try:
        async with database.begin() as session:
            session.add(row)
            await session.flush()
            await session.execute(delete(AssertionKey).where(AssertionKey.sequence.in_(outdated)))
    except IntegrityError:
        return False
    return True
