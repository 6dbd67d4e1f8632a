"""The one pattern of every change: a transaction that is committed, then this worker's snapshot brought up to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.errors import StorageError
from tenants_api.wiring import Services

log = structlog.get_logger("tenants_api.admin")


@asynccontextmanager
async def changing(services: Services) -> AsyncIterator[AsyncSession]:
    """A transaction for a change. When the block ends it is committed, and the next request here sees the change."""
    async with services.database.begin() as session:
        yield session
    try:
        await services.trust.refresh()
    except StorageError as error:
        # The change is committed: a failure to read it back is the change feed's to mend, not the caller's.
        log.warning("registry_not_read", error=error.cause)
