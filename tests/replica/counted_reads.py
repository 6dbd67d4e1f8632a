"""The registry's storage for the change feed, with its reads counted: a test waits for reads instead of for a time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from tenants_api.database.engine import Database
from tenants_api.replica.sql_storage import SessionReading, SessionStorage
from tests.support.waiting import until


class CountedReads(SessionStorage):
    """See `SessionStorage`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._begun = 0

    def read(self) -> AbstractAsyncContextManager[SessionReading]:
        self._begun += 1
        return super().read()

    async def several_more(self) -> None:
        """Wait until three more reads were tried and the next one has begun."""
        seen = self._begun
        await until(lambda: self._begun > seen + 3)
