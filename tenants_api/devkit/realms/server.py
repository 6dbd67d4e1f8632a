"""Development realms on a port: in a background thread for tests and the demo, in the foreground for the CLI."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from threading import Thread
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette

from tenants_api.devkit.realms.app import create_dev_realms
from tenants_api.devkit.realms.guard import require_loopback
from tenants_api.devkit.realms.realm import API_CLIENT, DevRealm

_START_SECONDS: Final = 10.0


class DevRealmServer:
    """Serves realms from a background thread while the `with` block runs.

    The port is bound in the constructor (0: a free one), so that `base_url` and every issuer are known before the
    start. Raises ValueError for a host that is not this machine, OSError for a port in use.
    """

    def __init__(
        self, names: Iterable[str], *, host: str = "127.0.0.1", port: int = 0, client_id: str = API_CLIENT
    ) -> None:
        self._socket = _listen(require_loopback(host), port)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = _base_url(host, self.port)
        self.client_id = client_id
        self.app = create_dev_realms([self._realm(name) for name in names])
        self._server = uvicorn.Server(_config(self.app))
        self._thread = Thread(target=self._serve, name="dev-realms", daemon=True)

    @property
    def realms(self) -> dict[str, DevRealm]:
        """The realms by name, also those created over HTTP."""
        realms: dict[str, DevRealm] = self.app.state.realms
        return realms

    def realm(self, name: str) -> DevRealm:
        """The realm with this name. Raises KeyError."""
        return self.realms[name]

    def add(self, realm: str | DevRealm) -> DevRealm:
        """Serve a further realm; a name creates one with the default users."""
        added = self._realm(realm) if isinstance(realm, str) else realm
        self.realms[added.name] = added
        return added

    def start(self) -> Self:
        """Start the server and wait for it. Raises RuntimeError after `_START_SECONDS`."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"development realms did not start on {self.base_url}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop the server and wait until the port is free."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _realm(self, name: str) -> DevRealm:
        return DevRealm(name, base_url=self.base_url, client_id=self.client_id)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def serve_dev_realms(
    names: Iterable[str], *, host: str = "127.0.0.1", port: int = 0, client_id: str = API_CLIENT
) -> DevRealmServer:
    """`with serve_dev_realms(["acme"]) as server: server.realm("acme").mint()`."""
    return DevRealmServer(names, host=host, port=port, client_id=client_id)


def run_dev_realms(
    names: Iterable[str], *, host: str = "127.0.0.1", port: int = 8180, client_id: str = API_CLIENT
) -> None:
    """Serve until SIGINT or SIGTERM. Raises as `DevRealmServer`."""
    listening = _listen(require_loopback(host), port)
    base_url = _base_url(host, listening.getsockname()[1])
    app = create_dev_realms([DevRealm(name, base_url=base_url, client_id=client_id) for name in names])
    try:
        uvicorn.Server(_config(app)).run(sockets=[listening])
    finally:
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; IPv4 for `localhost`, because clients try both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,  # the process that embeds the server configures logging
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `LoopbackOnly` must see the real client
        timeout_graceful_shutdown=1,  # a hanging request must not delay the end
    )
