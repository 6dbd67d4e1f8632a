"""A real `tenants-api serve` with several workers beside development realms; its log is a file that tests may read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tenants_api.devkit.realms import DevRealmServer
from tests.support.ports import free_port
from tests.support.processes import all_workers_follow, stop_group
from tests.support.realms import migrate, settings_for
from tests.support.stack import ADMIN_KEY, bearer

START_DEADLINE = 120.0


@dataclass(frozen=True, slots=True)
class Served:
    """Where it listens, and what it wrote so far. Every call is a connection of its own: any worker may get it."""

    base_url: str
    log: Path
    client: httpx.Client
    process: subprocess.Popen[bytes]
    workers: int

    def call(self, method: str, path: str, *, token: str = "", **more: Any) -> httpx.Response:
        headers = {**(bearer(token) if token else {}), **more.pop("headers", {})}
        return self.client.request(method, f"{self.base_url}{path}", headers=headers, **more)

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.call(method, f"/admin/v1{path}", token=ADMIN_KEY, **more)

    def settle(self) -> None:
        """Wait until every worker has applied the last change of the registry."""
        all_workers_follow([self.base_url], workers=self.workers, admin_key=ADMIN_KEY)

    def on_every_worker(self, token: str, *, calls: int = 24) -> set[int]:
        """The answers of `/v1/me` on so many new connections that no worker is left out."""
        return {self.call("GET", "/v1/me", token=token).status_code for _ in range(calls)}


@contextmanager
def serving(folder: Path, server: DevRealmServer, *, workers: int = 2, **variables: str) -> Iterator[Served]:
    """Serve while the block runs, from a migrated SQLite file in `folder` unless a variable names another database.

    `variables` are more `TENANTS_*` ones.
    """
    if "TENANTS_DATABASE_URL" not in variables:
        migrate(settings_for(server, folder))
    port, log = free_port(), folder / "serve.log"
    command = [sys.executable, "-m", "tenants_api.cli", "serve", "--port", str(port), "--workers", str(workers)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder, server) | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            served = Served(f"http://127.0.0.1:{port}", log, client, process, workers)
            _wait_until_ready(process, served=served)
            yield served
    finally:
        stop_group(process)


def environment(folder: Path, server: DevRealmServer) -> dict[str, str]:
    """What a process on the SQLite file of `folder` needs to reach the development realms."""
    # Nothing of the caller's TENANTS_* may change what is tested.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    return inherited | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TENANTS_ENVIRONMENT": "development",
        "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'tenants.db'}",
        "TENANTS_ADMIN_API_KEY": ADMIN_KEY,
        "TENANTS_INSECURE_HTTP_HOSTS": f"127.0.0.1:{server.port}",
        "TENANTS_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "TENANTS_ALLOWED_REALM_PORTS": f"443,{server.port}",
    }


def _wait_until_ready(process: subprocess.Popen[bytes], *, served: Served) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if served.call("GET", "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"tenants-api serve did not start:\n{served.log.read_text(errors='replace')[-4000:]}")
