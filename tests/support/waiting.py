"""Waiting for a state. Only the state counts: the deadline is there so that a test that fails ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

DEADLINE = 60.0  # seconds; costs nothing where the state comes
ROUND_SECONDS = 0.05  # that one round of a promised time counts for at most; an idle machine needs half of it

T = TypeVar("T")


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until this holds. TimeoutError when it never does."""
    async with asyncio.timeout(DEADLINE):
        while not true():
            await asyncio.sleep(0.01)


async def becomes(expected: object, ask: Callable[[], Awaitable[object]], *, within: float = DEADLINE) -> None:
    """Ask until this is the answer. AssertionError when it takes longer than `within` seconds.

    For a promised time of what runs in this process: while a busy machine lets it not run, the time that is promised
    does not pass either, so each round counts for ROUND_SECONDS at most.
    """
    loop, waited = asyncio.get_running_loop(), 0.0
    begun = loop.time()
    while (found := await ask()) != expected:
        assert waited < within, f"still {found!r} after {within:g} s"
        await asyncio.sleep(0.02)
        now = loop.time()
        waited, begun = waited + min(now - begun, ROUND_SECONDS), now


async def promised(call: Coroutine[Any, Any, T], *, within: float) -> T:
    """What the call gives; AssertionError when it takes longer than `within` seconds, counted as `becomes` does."""
    task = asyncio.create_task(call)

    async def is_done() -> bool:
        return task.done()

    try:
        await becomes(True, is_done, within=within)
    finally:
        task.cancel()
    return await task
