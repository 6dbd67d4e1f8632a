"""Loops beside the requests: one that dies is started again, and counted."""

from __future__ import annotations

import asyncio

from tenants_api.observability.tasks import supervised
from tests.support.waiting import DEADLINE


async def test_loop_that_dies_is_counted_and_started_again() -> None:
    starts: list[int] = []
    deaths: list[str] = []
    again = asyncio.Event()

    async def run() -> None:
        starts.append(1)
        if len(starts) == 1:
            raise RuntimeError("a mistake")
        if len(starts) == 2:
            return  # a loop that ends is as dead as one that breaks
        again.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(supervised("loop", run, on_death=deaths.append))
    await asyncio.wait_for(again.wait(), DEADLINE)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert (len(starts), deaths) == (3, ["loop", "loop"])
