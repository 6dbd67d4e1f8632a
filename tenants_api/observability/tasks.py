"""Background tasks: writes that no request waits for, and supervised loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog

SHUTDOWN_SECONDS = 2.0
FIRST_RESTART_PAUSE_SECONDS, MAX_RESTART_PAUSE_SECONDS = 0.5, 30.0
log = structlog.get_logger("tenants_api.replica")


class Background:
    """The writes under way. It holds the strong references to tasks that asyncio does not."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task, which must handle its expected errors."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def ended(self) -> None:
        """Wait for all of them, two seconds at most."""
        if self._running:
            await asyncio.wait(self._running, timeout=SHUTDOWN_SECONDS)


async def supervised(name: str, run: Callable[[], Awaitable[None]], *, on_death: Callable[[str], None]) -> None:
    """Run a loop for ever: when it ends or raises, log it, call `on_death`, and start it again after a pause."""
    pause = FIRST_RESTART_PAUSE_SECONDS
    while True:
        begun = asyncio.get_running_loop().time()
        try:
            await run()
        except Exception as error:
            log.exception("background_task_died", task=name, error=type(error).__name__)
        else:
            log.error("background_task_ended", task=name)
        on_death(name)
        if asyncio.get_running_loop().time() - begun > MAX_RESTART_PAUSE_SECONDS:
            pause = FIRST_RESTART_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_RESTART_PAUSE_SECONDS)


def start_loops(
    loops: Mapping[str, Callable[[], Awaitable[None]]], *, on_death: Callable[[str], None]
) -> list[asyncio.Task[None]]:
    """Start each loop as a supervised task."""
    return [asyncio.create_task(supervised(name, run, on_death=on_death), name=name) for name, run in loops.items()]


async def stop_loops(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
