"""The end of a database: connections that are on their way back are waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from tenants_api.db import Database

pytestmark = pytest.mark.anyio


async def test_closing_waits_for_a_reader_that_was_told_to_end(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/some.db")
    steps = []

    async def reader() -> None:
        async with database.read() as session:
            await session.execute(text("select 1"))
            steps.append("read")
            await asyncio.sleep(0.1)
        steps.append("given back")

    task = asyncio.create_task(reader())
    while not steps:
        await asyncio.sleep(0.005)
    await database.aclose()
    steps.append("closed")
    await task
    await database.engine.dispose()
    assert steps == ["read", "given back", "closed"]


async def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/some.db")
    async with database.engine.connect() as connection:
        async with asyncio.timeout(5):
            await database.aclose()
        await connection.invalidate()
