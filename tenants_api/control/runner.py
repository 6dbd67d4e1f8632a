"""The one way of a change: a transaction with all that it writes, then this replica catches up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import Database
from tenants_api.errors import ApiError
from tenants_api.replica.replica import RegistryReplica

log = structlog.get_logger("tenants_api.control")


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the transactions of commands on `database`, for which `replica` holds the registry in memory."""

    database: Database
    replica: RegistryReplica

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, and the next request here sees the change.

        What fails after the commit is logged and never raised: a change that is committed is not answered as failed.
        """
        async with self.database.begin() as session:
            yield session
        await self.replica.catch_up()


@contextmanager
def after_commit(event: str, **fields: Any) -> Iterator[None]:
    """What fails in the block is logged as `event` and never raised: the change before it is committed."""
    try:
        yield
    except (ApiError, SQLAlchemyError, OSError) as error:
        log.warning(event, error=type(error).__name__, **fields)
    except Exception as error:
        log.exception(event, error=type(error).__name__, **fields)
