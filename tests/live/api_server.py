"""A real `tenants-api serve` with two workers, driven from outside: the contract and nothing of the code.

Knows the admin plane well enough to register, refresh and suspend; knows nothing of Keycloak but issuers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import API_CLIENT, PLATFORM_REALM
from tests.support.ports import free_port
from tests.support.processes import all_workers_follow, answers, stop_group
from tests.support.waiting import DEADLINE

ADMIN_KEY = "live-tests-bootstrap-admin-key-0123456789"
COMMAND = [sys.executable, "-m", "tenants_api.cli"]
WORKERS = 2
READY_DEADLINE = 120.0


class ApiFailed(Exception):
    """The API could not be migrated or started; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A registered tenant: its id and slug, and the id and issuer of its one realm."""

    id: str
    slug: str
    realm_id: str
    issuer: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API; `admin` calls carry the bootstrap key."""

    base_url: str

    def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        """One call on a connection of its own, so that any worker may get it."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.request(method, f"{self.base_url}{path}", headers=headers, timeout=60, trust_env=False, **more)

    def me(self, token: str) -> httpx.Response:
        return self.call("GET", "/v1/me", token=token)

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.call(method, f"/admin/v1{path}", token=ADMIN_KEY, **more)

    def settle(self) -> None:
        """Wait until every worker has applied the last change of the registry."""
        all_workers_follow([self.base_url], workers=WORKERS, admin_key=ADMIN_KEY)

    def register(self, slug: str, *, issuer: str, settle: bool = True, **realm: Any) -> Tenant:
        """Create a tenant with one realm; it is active, and known to every worker if it may `settle`."""
        body = {
            "slug": slug,
            "name": slug.capitalize(),
            "realms": [{"issuer": issuer, "client_id": API_CLIENT, **realm}],
        }
        answer = self.admin("POST", "/tenants", json=body)
        assert answer.status_code == 201, answer.text
        document = answer.json()
        assert document["state"] == "active", document
        if settle:
            self.settle()
        return Tenant(
            id=document["id"], slug=slug, realm_id=document["realms"][0]["id"], issuer=issuer, document=document
        )

    def refresh_keys(self, tenant: Tenant) -> httpx.Response:
        """Fetch the realm's keys and status now; waits where the cooldown says so; law on every worker on return."""
        path = f"/tenants/{tenant.id}/realms/{tenant.realm_id}/keys/refresh"
        deadline = time.monotonic() + DEADLINE
        answer = self.admin("POST", path)
        while answer.status_code == 429 and time.monotonic() < deadline:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self.admin("POST", path)
        self.settle()
        return answer

    def on_every_worker(self, path: str, *, token: str, calls: int = 40) -> list[httpx.Response]:
        """Many calls at once on new connections: enough of them that no worker is left out."""
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda _: self.call("GET", path, token=token), range(calls)))


@contextmanager
def running_api(keycloak: KeycloakServer, *, folder: Path) -> Iterator[ApiServer]:
    """Migrate an SQLite file in `folder` and serve from it; the API is ready inside the block and gone after it.

    Raises:
        ApiFailed: the migration failed or the API did not become ready.
    """
    environment, log, port = api_environment(keycloak, folder=folder), folder / "api.log", free_port()
    _migrate(environment, folder=folder)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = ApiServer(base_url=f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(process, server=server, log=log)
        yield server
    finally:
        stop_group(process)


def api_environment(keycloak: KeycloakServer, *, folder: Path) -> dict[str, str]:
    # Nothing of the caller's TENANTS_* may change what is tested.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    return inherited | {
        # The checkout is what is tested, whether it is installed or not; the folder that it runs in is another one.
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TENANTS_ENVIRONMENT": "development",
        "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'tenants.db'}",
        "TENANTS_ADMIN_API_KEY": ADMIN_KEY,
        "TENANTS_INSECURE_HTTP_HOSTS": keycloak.host,
        "TENANTS_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
        "TENANTS_ALLOWED_REALM_PORTS": f"443,{keycloak.port}",
        "TENANTS_PLATFORM_ISSUER": keycloak.issuer(PLATFORM_REALM),
        "TENANTS_PLATFORM_CLIENT_ID": API_CLIENT,
    }


def _migrate(environment: dict[str, str], *, folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "db", "upgrade"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ApiFailed(f"db upgrade exited with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


def _wait_until_ready(process: subprocess.Popen[bytes], *, server: ApiServer, log: Path) -> None:
    deadline = time.monotonic() + READY_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        if answers(f"{server.base_url}/readyz"):
            return
        time.sleep(0.1)
    ending = f"exited with {process.returncode}" if process.poll() is not None else "was not ready in time"
    raise ApiFailed(f"tenants-api serve {ending}:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
