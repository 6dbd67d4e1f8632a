"""The SQL of signing keys. Which of two replicas made the next one is the database's to decide."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from tenants_api.assertion.models import AssertionKey
from tenants_api.assertion.storage import SealedKey
from tenants_api.db import Database, translated


class SessionKeys:
    """`KeyStorage` over the sessions of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def assertion_keys(self) -> list[SealedKey]:
        """See `KeyStorage`."""
        columns = (getattr(AssertionKey, name) for name in SealedKey.__slots__)
        with translated():
            async with self._database.read() as session:
                rows = await session.execute(select(*columns).order_by(AssertionKey.sequence))
                return [SealedKey(*row) for row in rows]

    async def add_assertion_key(self, key: SealedKey, *, outdated: Collection[int]) -> bool:
        """See `KeyStorage`."""
        row = AssertionKey(sequence=key.sequence, signs_from=key.signs_from, sealed=key.sealed)
        with translated():
            try:
                async with self._database.begin() as session:
                    session.add(row)
                    await session.flush()
                    await session.execute(delete(AssertionKey).where(AssertionKey.sequence.in_(outdated)))
            except IntegrityError:
                return False
        return True
