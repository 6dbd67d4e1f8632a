"""uvicorn's options for the API and for standalone forward auth; also defaults that matter for security."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import uvicorn

from tenants_api.server.http_limits import MAX_HEAD_BYTES, MAX_HEAD_BYTES_WITH_LARGE_TOKENS

Value = TypeVar("Value")


@asynccontextmanager
async def frozen(start: AbstractAsyncContextManager[Value]) -> AsyncIterator[Value]:
    """A lifespan that freezes all objects (`gc.freeze`) after its start.

    Only for a process that serves a single application: the garbage collector is shared by the whole process.
    """
    async with start as value:
        gc.collect()
        gc.freeze()
        yield value


SHUTDOWN_GRACE_SECONDS = 10  # that running requests get at shutdown


def serve_until_stopped(factory: str, options: dict[str, Any]) -> None:
    """Run uvicorn. A failed start (a busy port) ends with exit code 1; uvicorn's 3 is that of a failed check here."""
    try:
        uvicorn.run(factory, **options)
    except SystemExit as ended:
        raise SystemExit(1 if ended.code else 0) from ended


def server_options(
    *, host: str, port: int, workers: int, uds: str | None, max_token_bytes: int, access_log: bool = False
) -> dict[str, Any]:
    """Arguments of `uvicorn.run`, except the application's factory."""
    is_large = max_token_bytes > MAX_HEAD_BYTES // 2  # the other half is for the rest of the head
    return {
        "factory": True,
        "host": host,
        "port": port,
        "uds": uds,
        "workers": workers,
        # httptools does not bound the head of a request; this subclass does. h11's bound is for runs without httptools.
        "http": f"tenants_api.server.http_limits:{'LargeTokensHttp' if is_large else 'BoundedHttp'}",
        "h11_max_incomplete_event_size": MAX_HEAD_BYTES_WITH_LARGE_TOKENS if is_large else MAX_HEAD_BYTES,
        "ws": "none",  # the API has no WebSocket routes, so no request may upgrade
        "lifespan": "on",  # a failed start must end the process
        # Any client could forge with X-Forwarded-For the address that login limits and logs use.
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": SHUTDOWN_GRACE_SECONDS,
        "access_log": access_log,  # without query strings, see `tenants_api.observability.logging`
        "log_config": None,
        "log_level": "info",
        "backlog": 2048,
    }
