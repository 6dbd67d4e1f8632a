"""What runs beside the requests: writes that nobody waits for, and loops that must never end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog

SHUTDOWN_SECONDS = 2.0  # seconds at shutdown
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds before a loop that died is started again
log = structlog.get_logger("tenants_api.replica")


class Background:
    """The writes under way. asyncio keeps no strong reference to a task, so they are kept here."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; it must catch what it expects to fail."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ended(self) -> None:
        """Wait for all of them, two seconds at most."""
        if self._running:
            await asyncio.wait(self._running, timeout=SHUTDOWN_SECONDS)


async def supervised(name: str, run: Callable[[], Awaitable[None]], *, on_death: Callable[[str], None]) -> None:
    """Run a loop for ever: when it dies of a mistake, say so, count it, and start it again after a pause.

    Nobody waits for such a loop. Without this its death would be found when a suspended tenant still gets in.
    """
    pause = FIRST_PAUSE
    while True:
        begun = asyncio.get_running_loop().time()
        try:
            await run()
        except Exception as error:
            log.exception("background_task_died", task=name, error=type(error).__name__)
        else:
            log.error("background_task_ended", task=name)
        on_death(name)
        if asyncio.get_running_loop().time() - begun > LAST_PAUSE:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE)


def start_loops(
    loops: Mapping[str, Callable[[], Awaitable[None]]], *, on_death: Callable[[str], None]
) -> list[asyncio.Task[None]]:
    """Each loop as a supervised task of its own."""
    return [asyncio.create_task(supervised(name, run, on_death=on_death), name=name) for name, run in loops.items()]


async def stop_loops(tasks: list[asyncio.Task[None]]) -> None:
    """End them and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
