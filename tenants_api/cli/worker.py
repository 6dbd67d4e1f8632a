"""What one worker process adds around the application: a metrics port of its own, and on request its process id.

Both are ASGI wrappers, so the application knows nothing of workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.observability import logging
from tenants_api.serving.metrics_server import MetricsServer, serve_metrics

# Between `serve` and its workers: uvicorn starts them as new interpreters, which inherit the environment alone.
METRICS_HOST = "TENANTS_SERVE_METRICS_HOST"
WORKERS = "TENANTS_SERVE_WORKERS"
SHOW_WORKER = "TENANTS_SERVE_SHOW_WORKER"


def with_worker_header(app: ASGIApp) -> ASGIApp:
    """Name the worker's process in `X-Worker`: the demo shows with it that every worker decides alike."""
    header = (b"x-worker", str(os.getpid()).encode("ascii"))

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await app(scope, receive, send_named if scope["type"] == "http" else send)

    return named


class MetricsPort:
    """Serve /metrics on a port of its own from the end of the start to the end of the application.

    Counters are a worker's own. With several workers each one takes the next free port from `port` on, so that
    Prometheus scrapes every one as a target; when none is free the worker serves without.
    """

    def __init__(self, app: ASGIApp, *, port: int, registry: Callable[[], CollectorRegistry]) -> None:
        self._app, self._port, self._registry = app, port, registry
        self._server: MetricsServer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._server = _open_port(self._registry(), first=self._port)
            elif message["type"] == "lifespan.shutdown.complete":
                self.close()
            await send(message)

        await self._app(scope, receive, send_started)

    def close(self) -> None:
        """Free the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _open_port(registry: CollectorRegistry, *, first: int) -> MetricsServer | None:
    host = os.environ.get(METRICS_HOST, "127.0.0.1")
    for port in range(first, first + int(os.environ.get(WORKERS, "1"))):
        try:
            server = serve_metrics(registry, host=host, port=port)
        except OSError:
            continue
        logging.get_logger().info("metrics_port_opened", host=host, port=port)
        return server
    logging.get_logger().warning("metrics_port_taken", host=host, port=first)
    return None
