"""The metrics port of `serve`, and what one worker process adds around the application: on request its process id."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenants_api.observability import logging
from tenants_api.serving.metrics_server import MetricsServer, serve_metrics

# Between `serve` and its workers: uvicorn starts them as new interpreters, which inherit the environment alone.
METRICS_HOST = "TENANTS_SERVE_METRICS_HOST"  # set where the one worker opens the metrics port
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

    For one worker; of several their parent opens the port.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, registry: Callable[[], CollectorRegistry]) -> None:
        self._app, self._host, self._port, self._registry = app, host, port, registry
        self._server: MetricsServer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._server = open_metrics_port(self._registry(), host=self._host, port=self._port)
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


def open_metrics_port(registry: CollectorRegistry, *, host: str, port: int) -> MetricsServer | None:
    """Serve the registry there; None, and a warning in the log, where the port is taken."""
    try:
        server = serve_metrics(registry, host=host, port=port)
    except OSError as error:
        logging.get_logger().warning("metrics_port_taken", host=host, port=port, error=str(error))
        return None
    logging.get_logger().info("metrics_port_opened", host=host, port=port)
    return server
