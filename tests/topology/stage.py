"""Replicas as an operator runs them: `serve` processes on one PostgreSQL, the shipped nginx or a PgBouncer between."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tenants_api.devkit.realms import DevRealmServer
from tests.gateways.proxies import binary
from tests.support.ports import free_port
from tests.support.processes import all_workers_follow, answers, stop_group, wait_for
from tests.support.serving import Served, serving
from tests.support.stack import ADMIN_KEY, CLIENT_ID, bearer

DEPLOYED = Path(__file__).parents[2] / "deploy" / "nginx.conf"


@dataclass(frozen=True)
class Replicas:
    """Replicas behind one address. Every call is a connection of its own: any worker of any replica may get it."""

    base_url: str
    served: list[Served]
    realms: DevRealmServer
    client: httpx.Client

    def call(self, method: str, path: str, *, token: str, **more: Any) -> httpx.Response:
        headers = {**bearer(token), **more.pop("headers", {})}
        return self.client.request(method, f"{self.base_url}{path}", headers=headers, **more)

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.call(method, f"/admin/v1{path}", token=ADMIN_KEY, **more)
        assert answer.is_success, answer.text
        return answer

    def onboard(self, slug: str, *, realm: str) -> str:
        """An active tenant that every worker knows; a token of its realm."""
        body = {
            "slug": slug,
            "name": slug,
            "realms": [{"issuer": self.realms.realm(realm).issuer, "client_id": CLIENT_ID}],
        }
        assert self.admin("POST", "/tenants", json=body).json()["state"] == "active"
        self.settle()
        return self.realms.realm(realm).mint()

    def suspend_and_resume(self, slug: str, *, token: str, times: int) -> None:
        """Each change is law on every worker that follows the registry."""
        for _ in range(times):
            for change, status in (("suspend", 403), ("resume", 200)):
                self.admin("POST", f"/tenants/{slug}/{change}", json={})
                self.settle()
                assert self.everywhere(token) == {status}

    def forget(self, slug: str) -> None:
        """Delete and purge: its issuer is free again."""
        self.admin("DELETE", f"/tenants/{slug}", headers={"If-Match": "*"})
        self.admin("POST", f"/tenants/{slug}/purge", json={})
        self.settle()

    def settle(self) -> None:
        """Wait until every worker has applied the last change of the registry."""
        urls = [one.base_url for one in self.served]
        all_workers_follow(urls, workers=self.served[0].workers, admin_key=ADMIN_KEY)

    def me(self, token: str) -> int:
        return self.call("GET", "/v1/me", token=token).status_code

    def everywhere(self, token: str, *, calls: int = 12) -> set[int]:
        """What `/v1/me` answers on so many new connections to each replica that no worker is left out."""
        with ThreadPoolExecutor(8) as pool:
            urls = [f"{one.base_url}/v1/me" for one in self.served for _ in range(calls)]
            return set(pool.map(lambda url: self.client.get(url, headers=bearer(token)).status_code, urls))


@contextmanager
def replicas(
    folder: Path, realms: DevRealmServer, *, count: int, workers: int, variables: Mapping[str, str], nginx: bool = False
) -> Iterator[Replicas]:
    """So many `serve` processes on the migrated database that `variables` name; they are more `TENANTS_*` ones."""
    with ExitStack() as stack:
        served = []
        for number in range(count):
            place = folder / f"replica-{number}"
            place.mkdir()
            served.append(stack.enter_context(serving(place, realms, workers=workers, **variables)))
        ports = [one.base_url.rpartition(":")[2] for one in served]
        url = stack.enter_context(balanced(folder, ports)) if nginx else served[0].base_url
        client = stack.enter_context(
            httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        )
        yield Replicas(url, served, realms, client)


@contextmanager
def balanced(folder: Path, ports: list[str]) -> Iterator[str]:
    """nginx with the configuration that is shipped, in front of these ports of this machine; gives its URL."""
    port = free_port()
    text = DEPLOYED.read_text(encoding="utf-8")
    servers = "\n        ".join(f"server 127.0.0.1:{one} max_fails=2 fail_timeout=2s;" for one in ports)
    text, changed = re.subn(r"server api-1:8000.*?\n\s*server api-2:8000[^\n]*", servers, text, flags=re.DOTALL)
    assert changed == 1, "deploy/nginx.conf names other replicas"
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/tmp/", f"{folder}/")
    text = text.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    user = " user root;" if os.geteuid() == 0 else ""
    with started([str(binary("nginx")), "-c", str(folder / "nginx.conf"), "-g", f"daemon off;{user}"], folder=folder):
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/livez"), what="nginx answers")
        yield url


@contextmanager
def pooled(folder: Path, *, port: int, pool: int) -> Iterator[int]:
    """PgBouncer in transaction mode before a PostgreSQL on `port`, with `pool` connections; gives its port."""
    own = free_port()
    folder.chmod(0o755)
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = {pool}\nmax_client_conn = 500\n",
        encoding="utf-8",
    )
    (folder / "users.txt").write_text('"tenants_app" ""\n"tenants_owner" ""\n"postgres" ""\n', encoding="utf-8")
    command = [str(binary("pgbouncer")), str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:
        command[1:1] = ["-u", "nobody"]  # it refuses to run as root
    with started(command, folder=folder):
        yield own


@contextmanager
def started(command: list[str], *, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs while the block does; what it prints is in `folder`."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        stop_group(process)
