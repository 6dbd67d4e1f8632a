"""The end of a database: connections that are on their way back are waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text

from tenants_api.database.engine import Database
from tests.support.waiting import DEADLINE, until


async def test_closing_waits_for_a_reader_that_was_told_to_end(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/some.db")
    steps, told_to_end = [], asyncio.Event()

    async def reader() -> None:
        async with database.read() as session:
            await session.execute(text("select 1"))
            steps.append("read")
            await told_to_end.wait()
        steps.append("given back")

    async def close() -> None:
        await database.aclose()
        steps.append("closed")

    task = asyncio.create_task(reader())
    await until(lambda: steps == ["read"])
    closing = asyncio.create_task(close())
    await asyncio.sleep(0)  # it has begun
    told_to_end.set()
    await asyncio.gather(task, closing)
    await database.engine.dispose()
    assert steps == ["read", "given back", "closed"]


async def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/some.db")
    async with database.engine.connect() as connection:
        async with asyncio.timeout(DEADLINE):
            await database.aclose()
        await connection.invalidate()
