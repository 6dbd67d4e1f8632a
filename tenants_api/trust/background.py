"""Writes that nobody waits for: they end by themselves, and at shutdown they get a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

PATIENCE = 2.0  # seconds at shutdown


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
            await asyncio.wait(self._running, timeout=PATIENCE)
