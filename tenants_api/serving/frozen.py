"""What a start has made is taken out of every later garbage collection.

A full collection looks at every object of the process: fifty milliseconds for the modules alone, half a second with a
hundred thousand tenants, and no request is answered meanwhile. It comes more often the more goes wrong, for each error
leaves cycles behind. What is replaced later is freed all the same, by its count.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def frozen_at_start(app: App) -> App:
    """The ASGI application, for a process that serves it and nothing else: the collector is the whole process's."""

    async def served(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        async def send_frozen(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                gc.collect()
                gc.freeze()
            await send(message)

        await app(scope, receive, send_frozen if scope["type"] == "lifespan" else send)

    return served
