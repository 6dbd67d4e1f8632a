"""Every test here runs on both databases; with `store`, over both ways to read and write them as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenants_api.db import Database
from tests.direct.stores import WAYS, Store, opened_store
from tests.support.databases import (
    database,
    database_url,
    migrated_database,
    migrated_file,
    server_database,
    server_url,
)

__all__ = ["database", "database_url", "migrated_database", "migrated_file", "server_database", "server_url", "store"]


@pytest.fixture(params=WAYS)
async def store(request: pytest.FixtureRequest, database_url: str, database: Database) -> AsyncIterator[Store]:
    """One of the two ways, on the database of this test; `database` is the admin's beside it."""
    async with opened_store(request.param, database_url) as opened:
        yield opened
