"""uvicorn's options, for the API and for standalone forward auth. What it would choose otherwise is written out."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from tenants_api.server.http_limits import LARGEST_HEAD, LARGEST_HEAD_OF_LARGE_TOKENS

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


SHUTDOWN_GRACE_SECONDS = 10  # seconds that running requests get at the end


def server_options(*, host: str, port: int, workers: int, uds: str | None, max_token_bytes: int) -> dict[str, Any]:
    """Arguments of `uvicorn.run` beside the application's factory."""
    is_large = max_token_bytes > LARGEST_HEAD // 2  # the rest of a head has the other half
    return {
        "factory": True,
        "host": host,
        "port": port,
        "uds": uds,
        "workers": workers,
        # httptools has no bound on the head of a request; ours has. h11's is for those who run without httptools.
        "http": f"tenants_api.server.http_limits:{'LargeTokensHttp' if is_large else 'BoundedHttp'}",
        "h11_max_incomplete_event_size": LARGEST_HEAD_OF_LARGE_TOKENS if is_large else LARGEST_HEAD,
        "ws": "none",  # there is no WebSocket here, so nothing may upgrade to one
        "lifespan": "on",  # a start that fails must end the process, not serve half an application
        # X-Forwarded-For from anybody would forge the address that login limits and logs use.
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": SHUTDOWN_GRACE_SECONDS,
        "access_log": False,  # the application writes its own events, without tokens in query strings
        "log_config": None,
        "log_level": "info",
        "backlog": 2048,
    }
