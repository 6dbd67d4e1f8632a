"""How many fetches run at once, so that a host that hangs keeps only itself waiting. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Host:
    free: asyncio.Semaphore
    users: int = 0


class Slots:
    """At most `total` fetches at once, at most `per_host` of them to one host.

    A fetch queues for its host first: those that wait for a hanging host hold no slot of the others. Waiting has a
    deadline of its own (seconds), so that a fetch's own time starts when it may really go out.
    """

    def __init__(self, total: int, *, per_host: int, wait: float) -> None:
        self._free = asyncio.Semaphore(total)
        self._per_host, self._wait = per_host, wait
        self._hosts: dict[str, _Host] = {}

    def __len__(self) -> int:
        """Hosts that are in use now; others are forgotten."""
        return len(self._hosts)

    @asynccontextmanager
    async def taken(self, host: str) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            TimeoutError: none became free in time.
        """
        entry = self._hosts.setdefault(host, _Host(asyncio.Semaphore(self._per_host)))
        entry.users += 1
        try:
            async with asyncio.timeout(self._wait) as waiting, entry.free, self._free:
                waiting.reschedule(None)
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._hosts[host]
