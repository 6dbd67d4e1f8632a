"""What the demo runs: realms, connections to each worker process, and nginx in front of a service.

`serve --show-worker` adds the process id of the worker to a response as `X-Worker`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from tenants_api.cli.exits import CliError
from tenants_api.devkit.realms import serve_dev_realms
from tenants_api.forward_auth.configurations import plan, render

USERS = {"editor": "alice", "viewer": "bob", "admin": "carol"}
SHUTDOWN_TIMEOUT_SECONDS = 20.0
TOKEN_PATH = "/protocol/openid-connect/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class TokenRealms:
    """An identity provider with the password grant; `rotate` makes a realm sign with a new key."""

    title: str
    base_url: str
    rotate: Callable[[str], Awaitable[None]]
    admin: str | None = None  # address and credentials of its console

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def host(self) -> str:
        """`host:port`, for TENANTS_INSECURE_HTTP_HOSTS."""
        return self.base_url.partition("://")[2]

    def issuer(self, realm: str) -> str:
        return f"{self.base_url}/realms/{realm}"

    async def token(self, realm: str, *, role: str) -> str:
        form = {"grant_type": "password", "client_id": "web", **self._credentials(role)}
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            response = await client.post(self.issuer(realm) + TOKEN_PATH, data=form)
        if response.status_code != 200:
            raise CliError(f"{self.title}: no token for {form['username']} of {realm}: HTTP {response.status_code}")
        return str(response.json()["access_token"])

    def token_command(self, realm: str, *, role: str) -> str:
        """A shell command that prints a new token."""
        user = self._credentials(role)
        return (
            f"curl -s {self.issuer(realm)}{TOKEN_PATH} -d grant_type=password -d client_id=web"
            f" -d username={user['username']} -d password={user['password']}"
            """ | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'"""
        )

    def _credentials(self, role: str) -> dict[str, str]:
        return {"username": USERS[role], "password": f"{USERS[role]}-pw"}


@asynccontextmanager
async def development_realms(names: Sequence[str]) -> AsyncIterator[TokenRealms]:
    """Development realms on a free port, in a thread of this process."""
    with serve_dev_realms(names) as server:

        async def rotate(realm: str) -> None:
            # Before the next step's time is measured: the generation of an RSA key takes long.
            await asyncio.to_thread(server.realm(realm).rotate)

        yield TokenRealms("development realms", server.base_url, rotate)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def end_process(process: asyncio.subprocess.Process) -> None:
    """End a process by SIGTERM, or its process group by SIGKILL after `SHUTDOWN_TIMEOUT_SECONDS`."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), SHUTDOWN_TIMEOUT_SECONDS)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def end_of(log: Path) -> str:
    """The last lines of a log, for a message."""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])


CONNECTIONS_PER_ATTEMPT = 8  # concurrent, so that each idle worker accepts some
REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerResponse:
    """The response of a worker: `worker` is its process id, `body` the JSON object or {}."""

    worker: str
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The problem's code; empty if the response is not a problem."""
        return str(self.body.get("code", ""))


class Workers:
    """Connections to the workers of an API. `count` is the number of workers."""

    def __init__(self, base_url: str, *, admin_key: str, count: int) -> None:
        self.base_url = base_url
        self.count = count
        self._admin = {"Authorization": f"Bearer {admin_key}"}
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def connect(self, *, within: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Open a connection to every worker while the server is `alive`.

        Raises:
            TimeoutError: not all workers responded within that many seconds.
        """
        deadline = time.monotonic() + within
        while len(self._clients) < self.count:
            if time.monotonic() > deadline or not alive():
                raise TimeoutError(f"{len(self._clients)} of {self.count} workers responded")
            if not await self._find_more():
                await asyncio.sleep(0.05)

    async def every(self, path: str, *, token: str) -> list[WorkerResponse]:
        """GET the path from every worker."""
        for _ in range(3):
            responses = [
                await _send(client, "GET", path, headers={"Authorization": f"Bearer {token}"})
                for client in self._clients.values()
            ]
            if {response.worker for response in responses} == set(self._clients):
                return responses
            # A worker closed an idle connection, and another worker accepted the new one.
            await self.aclose()
            await self.connect(within=REQUEST_TIMEOUT_SECONDS)
        return responses

    async def post(self, path: str, *, token: str, body: dict[str, Any]) -> WorkerResponse:
        """POST to any worker."""
        headers = {"Authorization": f"Bearer {token}"}
        async with _client(self.base_url) as client:
            return await _send(client, "POST", path, headers=headers, body=body)

    async def admin(self, path: str, *, body: dict[str, Any]) -> WorkerResponse:
        """POST to the admin plane."""
        async with _client(self.base_url) as client:
            return await _send(client, "POST", f"/admin/v1{path}", headers=self._admin, body=body)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _find_more(self) -> bool:
        clients = [_client(self.base_url) for _ in range(CONNECTIONS_PER_ATTEMPT)]
        workers = await asyncio.gather(*(_worker_of(client) for client in clients))
        before = len(self._clients)
        for client, worker in zip(clients, workers, strict=True):
            if worker is None or worker in self._clients:
                await client.aclose()
            else:
                self._clients[worker] = client
        return len(self._clients) > before


def _client(base_url: str) -> httpx.AsyncClient:
    # trust_env=False: no proxy of the environment for requests to this machine.
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=REQUEST_TIMEOUT_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_connections=1),
        verify=_empty_tls_context(),
    )


@cache
def _empty_tls_context() -> ssl.SSLContext:
    """A TLS context without authorities: the demo uses http, and loading authorities for each client takes time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _worker_of(client: httpx.AsyncClient) -> str | None:
    try:
        response = await client.get("/livez")
    except httpx.TransportError:
        return None
    return response.headers.get("x-worker") if response.status_code == 200 else None


async def _send(
    client: httpx.AsyncClient, method: str, path: str, *, headers: dict[str, str], body: dict[str, Any] | None = None
) -> WorkerResponse:
    response = await client.request(method, path, headers=headers, json=body)
    is_json = "json" in response.headers.get("content-type", "")
    found = response.json() if is_json else {}
    return WorkerResponse(
        response.headers.get("x-worker", ""), response.status_code, found if isinstance(found, dict) else {}
    )


NGINX_START_TIMEOUT_SECONDS = 60.0
# Debian installs servers outside of a user's PATH.
_SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))
_SERVICE = """
    server {{
        listen 127.0.0.1:{port};
        default_type text/plain;
        location / {{ return 200 "$http_x_tenant_slug|$http_x_tenant_roles|$http_x_auth_request_preferred_username"; }}
    }}
"""


class Gateway:
    """nginx in front of a service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)

    async def ask(self, *, token: str | None) -> tuple[int, str]:
        """Status, and the identity that the service got: `tenant|roles|user`. Sends forged headers."""
        headers = {"X-Tenant-Slug": "forged", "X-Tenant-Roles": "admin"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        response = await self._client.get("/orders", headers=headers)
        return response.status_code, response.text if response.status_code == 200 else ""

    async def aclose(self) -> None:
        await self._client.aclose()


def nginx() -> str | None:
    """The path of nginx; None if it is not installed."""
    return shutil.which("nginx", path=_SEARCH_PATH)


@asynccontextmanager
async def open_gateway(program: str, *, folder: Path, authorizer: str) -> AsyncIterator[Gateway]:
    """nginx with the rendered configuration while the block runs.

    Raises:
        CliError: it did not start.
    """
    work, port, service = folder / "nginx", free_port(), free_port()
    work.mkdir(exist_ok=True)
    chosen = plan(
        listen=f"127.0.0.1:{port}",
        authorizer=authorizer,
        upstream=f"127.0.0.1:{service}",
        tenant="acme",
        folder=work,
    )
    text = render("nginx", plan=chosen).rstrip()
    file, log = work / "nginx.conf", work / "log"
    file.write_text(f"{text.removesuffix('}')}{_SERVICE.format(port=service)}}}\n", encoding="utf-8")
    with log.open("wb") as output:
        words = ("-c", str(file), "-p", str(work), "-e", "stderr", "-g", "daemon off;")
        process = await asyncio.create_subprocess_exec(
            program, *words, stdout=output, stderr=output, start_new_session=True
        )
    gateway = Gateway(f"http://127.0.0.1:{port}")
    try:
        if not await _accepts_requests(gateway, process=process):
            raise CliError(f"nginx did not start:\n{end_of(log)}")
        yield gateway
    finally:
        await gateway.aclose()
        await end_process(process)


async def _accepts_requests(gateway: Gateway, *, process: asyncio.subprocess.Process) -> bool:
    until = time.monotonic() + NGINX_START_TIMEOUT_SECONDS
    while time.monotonic() < until and process.returncode is None:
        try:
            status, _ = await gateway.ask(token=None)
        except httpx.TransportError:
            status = 0
        if status == 401:
            return True
        await asyncio.sleep(0.05)
    return False
