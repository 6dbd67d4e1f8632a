"""The API as the demo sees it: one kept connection to each worker process, so that a step can ask every one of them.

`serve --show-worker` names the answering process in `X-Worker`; that is how the demo knows which worker spoke.
"""

from __future__ import annotations

import asyncio
import os
import shutil
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
TOKEN_PATH = "/protocol/openid-connect/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class TokenRealms:
    """Implements the story's `Realms` by the password grant; how keys rotate is handed in."""

    title: str
    base_url: str
    rotate_keys: Callable[[str], Awaitable[None]]

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def host(self) -> str:
        """`host:port`, as TENANTS_INSECURE_HTTP_HOSTS wants it."""
        return self.base_url.partition("://")[2]

    def issuer(self, realm: str) -> str:
        return f"{self.base_url}/realms/{realm}"

    async def token(self, realm: str, *, role: str) -> str:
        form = {"grant_type": "password", "client_id": "web", **self._credentials(role)}
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.post(self.issuer(realm) + TOKEN_PATH, data=form)
        if answer.status_code != 200:
            raise CliError(f"{self.title}: no token for {form['username']} of {realm}: HTTP {answer.status_code}")
        return str(answer.json()["access_token"])

    async def rotate(self, realm: str) -> None:
        await self.rotate_keys(realm)

    def token_command(self, realm: str, *, role: str) -> str:
        """A shell command that prints a fresh token."""
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
            # Making an RSA key takes long enough to be noticed in the next step's time.
            await asyncio.to_thread(server.realm(realm).rotate)

        yield TokenRealms("development realms", server.base_url, rotate)


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_of(log: Path) -> str:
    """The last lines of a log, for a message."""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])


ATTEMPT = 8  # connections opened at once: an idle worker takes some of them while the other is busy
REQUEST_TIMEOUT_SECONDS = 30.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker said: `worker` is its process id, `body` the JSON object or {}."""

    worker: str
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The problem's code; empty where the answer is no problem."""
        return str(self.body.get("code", ""))


class Workers:
    """Connections to the workers of one API. `count` is how many workers there are."""

    def __init__(self, base_url: str, *, admin_key: str, count: int) -> None:
        self.base_url = base_url
        self.count = count
        self._admin = {"Authorization": f"Bearer {admin_key}"}
        self._kept: dict[str, httpx.AsyncClient] = {}

    async def connect(self, *, within: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Keep a connection to every worker; gives up when the server is no longer `alive`.

        Raises:
            TimeoutError: not all of them answered in that many seconds.
        """
        deadline = time.monotonic() + within
        while len(self._kept) < self.count:
            if time.monotonic() > deadline or not alive():
                raise TimeoutError(f"{len(self._kept)} of {self.count} workers answered")
            if not await self._find_more():
                await asyncio.sleep(0.05)

    async def every(self, path: str, *, token: str) -> list[Answer]:
        """GET the path from every worker."""
        for _ in range(3):
            answers = [
                await _send(client, "GET", path, headers={"Authorization": f"Bearer {token}"})
                for client in self._kept.values()
            ]
            if {answer.worker for answer in answers} == set(self._kept):
                return answers
            # A worker closed an idle connection, and the new one went to another worker.
            await self.aclose()
            await self.connect(within=REQUEST_TIMEOUT_SECONDS)
        return answers

    async def post(self, path: str, *, token: str, body: dict[str, Any]) -> Answer:
        """POST to whichever worker takes it."""
        headers = {"Authorization": f"Bearer {token}"}
        async with _client(self.base_url) as client:
            return await _send(client, "POST", path, headers=headers, body=body)

    async def admin(self, path: str, *, body: dict[str, Any]) -> Answer:
        """POST to the admin plane."""
        async with _client(self.base_url) as client:
            return await _send(client, "POST", f"/admin/v1{path}", headers=self._admin, body=body)

    async def aclose(self) -> None:
        for client in self._kept.values():
            await client.aclose()
        self._kept.clear()

    async def _find_more(self) -> bool:
        clients = [_client(self.base_url) for _ in range(ATTEMPT)]
        workers = await asyncio.gather(*(_worker_of(client) for client in clients))
        before = len(self._kept)
        for client, worker in zip(clients, workers, strict=True):
            if worker is None or worker in self._kept:
                await client.aclose()
            else:
                self._kept[worker] = client
        return len(self._kept) > before


def _client(base_url: str) -> httpx.AsyncClient:
    # trust_env: a proxy of the environment must not come between the demo and its own machine.
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=REQUEST_TIMEOUT_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_connections=1),
        verify=_no_authorities(),
    )


@cache
def _no_authorities() -> ssl.SSLContext:
    """The demo speaks plain http to its own machine: a context that trusts nobody is made in no time.

    The usual one reads every authority of the machine, for each client anew.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _worker_of(client: httpx.AsyncClient) -> str | None:
    try:
        answer = await client.get("/livez")
    except httpx.TransportError:
        return None
    return answer.headers.get("x-worker") if answer.status_code == 200 else None


async def _send(
    client: httpx.AsyncClient, method: str, path: str, *, headers: dict[str, str], body: dict[str, Any] | None = None
) -> Answer:
    answer = await client.request(method, path, headers=headers, json=body)
    is_json = "json" in answer.headers.get("content-type", "")
    found = answer.json() if is_json else {}
    return Answer(answer.headers.get("x-worker", ""), answer.status_code, found if isinstance(found, dict) else {})


START = 60.0  # seconds
# Debian keeps servers outside of a user's PATH.
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))
_SERVICE = """
    server {{
        listen 127.0.0.1:{port};
        default_type text/plain;
        location / {{ return 200 "$http_x_tenant_slug|$http_x_tenant_roles|$http_x_auth_request_preferred_username"; }}
    }}
"""


class Door:
    """A running door; `ask` sends one request through it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)

    async def ask(self, *, token: str | None) -> tuple[int, str]:
        """Status and what the service behind was told: `tenant|roles|user`. The client claims to be somebody else."""
        headers = {"X-Tenant-Slug": "forged", "X-Tenant-Roles": "admin"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._client.get("/orders", headers=headers)
        return answer.status_code, answer.text if answer.status_code == 200 else ""

    async def aclose(self) -> None:
        await self._client.aclose()


def nginx() -> str | None:
    """The program, if this machine has it."""
    return shutil.which("nginx", path=_PLACES)


@asynccontextmanager
async def open_door(program: str, *, folder: Path, authorizer: str) -> AsyncIterator[Door]:
    """nginx with the rendered configuration while the block runs.

    Raises:
        CliError: it did not start.
    """
    place, port, service = folder / "nginx", free_port(), free_port()
    place.mkdir()
    door = plan(
        listen=f"127.0.0.1:{port}", authorizer=authorizer, upstream=f"127.0.0.1:{service}", tenant="acme", folder=place
    )
    text = render("nginx", plan=door).rstrip()
    file, log = place / "nginx.conf", place / "log"
    file.write_text(f"{text.removesuffix('}')}{_SERVICE.format(port=service)}}}\n", encoding="utf-8")
    with log.open("wb") as output:
        words = ("-c", str(file), "-p", str(place), "-e", "stderr", "-g", "daemon off;")
        process = await asyncio.create_subprocess_exec(program, *words, stdout=output, stderr=output)
    opened = Door(f"http://127.0.0.1:{port}")
    try:
        if not await _answers(opened, process=process):
            raise CliError(f"nginx did not start:\n{end_of(log)}")
        yield opened
    finally:
        await opened.aclose()
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(door: Door, *, process: asyncio.subprocess.Process) -> bool:
    until = time.monotonic() + START
    while time.monotonic() < until and process.returncode is None:
        try:
            status, _ = await door.ask(token=None)
        except httpx.TransportError:
            status = 0
        if status == 401:
            return True
        await asyncio.sleep(0.05)
    return False
