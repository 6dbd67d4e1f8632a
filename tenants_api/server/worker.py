"""An HTTP server for scrapes on a separate port: a thread for each connection, bounded in number and in time.

The standard library's server waits for ever for a request: a client that opens connections and sends partial requests
would hold as many threads.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("tenants_api.server")
MAX_SCRAPES = 16  # at once; a scrape takes milliseconds
SCRAPE_DEADLINE_SECONDS = 10.0  # from the connection to its last byte


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Closes a connection that takes longer than `deadline` seconds, and the oldest one when there are too many."""

    daemon_threads = True
    deadline = SCRAPE_DEADLINE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, float] = {}  # each with its deadline, oldest first
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        """As in the base class, without its DNS query for the host's full name: DNS may be down at a start."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= MAX_SCRAPES:
            self._end(next(iter(self._open)))
        self._open[request] = time.monotonic() + self.deadline
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second by `serve_forever`."""
        now = time.monotonic()
        for request, until in list(self._open.items()):
            if until < now:
                self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a closed connection is not a defect of this process
            super().handle_error(request, client_address)

    def _end(self, request: socket.socket) -> None:
        """Shut a connection down; the thread that waits for it then ends."""
        self._open.pop(request, None)
        with suppress(OSError):  # it is closed already
            request.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Scrapes are not logged."""


def serve_metrics(
    registry: CollectorRegistry, *, host: str, port: int, deadline: float = SCRAPE_DEADLINE_SECONDS
) -> MetricsServer:
    """Serve the registry in a thread until `shutdown`.

    Raises:
        OSError: the port cannot be opened.
    """

    class Server(MetricsServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = make_server(host, port, make_wsgi_app(registry), server_class=Server, handler_class=_Quiet)
    server.deadline = deadline
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


# From `serve` to its workers: uvicorn starts them as new interpreters, which inherit only the environment.
METRICS_HOST_VARIABLE = "TENANTS_SERVE_METRICS_HOST"  # set if a single worker opens the metrics port
SHOW_WORKER_VARIABLE = "TENANTS_SERVE_SHOW_WORKER"


def with_worker_header(app: ASGIApp) -> ASGIApp:
    """Add the worker's process id as `X-Worker`; the demo shows with it that all workers decide alike."""
    header = (b"x-worker", str(os.getpid()).encode("ascii"))

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await app(scope, receive, send_named if scope["type"] == "http" else send)

    return named


class MetricsPort:
    """Serve /metrics on a separate port while the application runs.

    For a single worker; with several workers their parent process opens the port.
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
    """Serve the registry at this address; None, with a warning in the log, if the port cannot be opened."""
    try:
        server = serve_metrics(registry, host=host, port=port)
    except OSError as error:
        log.warning("metrics_port_taken", host=host, port=port, error=str(error))
        return None
    log.info("metrics_port_opened", host=host, port=port)
    return server
