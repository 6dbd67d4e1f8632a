"""The table and the statements of signing keys. A unique key decides which of two replicas adds the next one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import BigInteger, LargeBinary, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from tenants_api.database.engine import Base, Database, UtcDateTime, translated, utc_now


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored: `signs_from` is in epoch seconds."""

    sequence: int
    signs_from: int
    sealed: bytes


class KeyStorage(Protocol):
    """Storage that all replicas share. Both methods raise StorageError."""

    async def assertion_keys(self) -> list[SealedKey]:
        """All stored keys, oldest first."""

    async def add_assertion_key(self, key: SealedKey, *, outdated: Collection[int]) -> bool:
        """Store a key and remove the outdated ones; False when another replica has stored this sequence number."""


class AssertionKey(Base):
    """One signing key, sealed. `sequence` is unique, so that replicas which rotate at once agree on one key."""

    __tablename__ = "assertion_keys"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    signs_from: Mapped[int] = mapped_column(BigInteger)  # epoch seconds
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


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
