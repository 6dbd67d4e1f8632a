"""Every test here runs on both databases, unless it says which one it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenants_api.database.engine import Database
from tests.replica.storage.stores import Store, opened_store


@pytest.fixture
async def store(database_url: str, database: Database) -> AsyncIterator[Store]:
    """The storage of the database of this test; `database` is the admin's connection beside it."""
    async with opened_store(database_url) as opened:
        yield opened
