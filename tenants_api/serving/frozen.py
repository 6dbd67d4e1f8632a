"""What a start has made is taken out of every later garbage collection.

A full collection looks at every object of the process: fifty milliseconds for the modules alone, half a second with a
hundred thousand tenants, and no request is answered meanwhile. It comes more often the more goes wrong, for each error
leaves cycles behind. What is replaced later is freed all the same, by its count.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

Value = TypeVar("Value")


@asynccontextmanager
async def frozen(start: AbstractAsyncContextManager[Value]) -> AsyncIterator[Value]:
    """A lifespan that freezes all objects once its start is complete.

    Only for a process that serves one application and nothing else: the collector is the whole process's.
    """
    async with start as value:
        gc.collect()
        gc.freeze()
        yield value
