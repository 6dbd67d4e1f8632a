"""The one pattern of every change: a transaction that is committed, then this worker's snapshot brought up to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.wiring import Services


@asynccontextmanager
async def changing(services: Services) -> AsyncIterator[AsyncSession]:
    """A transaction for a change. When the block ends it is committed, and the next request here sees the change."""
    async with services.database.begin() as session:
        yield session
    await services.trust.catch_up()
