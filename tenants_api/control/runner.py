"""Runs the transaction of a command; after its commit this replica catches up."""

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
        """One transaction: committed when the block ends; then this replica catches up.

        A failure after the commit is logged, never raised: a committed change is never reported as failed.
        """
        async with self.database.begin() as session:
            yield session
        await self.replica.catch_up()


@contextmanager
def after_commit(event: str, **fields: Any) -> Iterator[None]:
    """Log a failure in the block as `event`, and do not raise it: the change before it is committed."""
    try:
        yield
    except (ApiError, SQLAlchemyError, OSError) as error:
        log.warning(event, error=type(error).__name__, **fields)
    except Exception as error:
        log.exception(event, error=type(error).__name__, **fields)
