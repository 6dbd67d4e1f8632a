"""An HTTP server for scrapes on a port of its own: a thread for each, few at once, none for long.

The standard library's server gives each connection a thread and waits for its request for ever: a client that
opens connections and sends half a request keeps as many threads.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

MAX_SCRAPES = 16  # at once; a scrape takes milliseconds
SCRAPE_DEADLINE_SECONDS = 10.0  # from the connection to its last byte


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Closes a connection that takes longer than `deadline` seconds, and the oldest one when there are too many."""

    daemon_threads = True
    deadline = SCRAPE_DEADLINE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, float] = {}  # with the end of its time, oldest first
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        """As the base class does, without its look-up of the host's full name: DNS may be down at a start."""
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
        if not isinstance(sys.exc_info()[1], OSError):  # a connection that broke is no mistake of ours
            super().handle_error(request, client_address)

    def _end(self, request: socket.socket) -> None:
        """Its thread, which waits for it, goes on to its end."""
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
        OSError: the port cannot be had.
    """

    class Server(MetricsServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = make_server(host, port, make_wsgi_app(registry), server_class=Server, handler_class=_Quiet)
    server.deadline = deadline
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
