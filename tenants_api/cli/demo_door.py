"""The demo's last step: nginx in front of a service that is not Python, with the configuration that we render.

Both are nginx, started by hand on free ports: the door, and behind it a server that says which headers it was given.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tenants_api.cli.demo_realms import end_of, free_port
from tenants_api.cli.exits import Stopped
from tenants_api.gateway.plan import plan
from tenants_api.gateway.render import render

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
        Stopped: it did not start.
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
            raise Stopped(f"nginx did not start:\n{end_of(log)}")
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
