"""The way that the pages advise: forward auth as a process of its own on a Unix socket, and a proxy that asks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.gateways.proxies import HOW, binary, running_proxy
from tests.gateways.upstream import serving_upstream
from tests.support.machine import require
from tests.support.processes import stop_group, wait_for
from tests.support.serving import environment
from tests.support.stack import bearer, onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("gateways")]


@contextmanager
def authorizer(folder: Path, realms: DevRealmServer) -> Iterator[subprocess.Popen[bytes]]:
    """`tenants-api serve --authz-only` on `authz.sock` in the folder while the block runs."""
    socket = folder / "authz.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "tenants_api.cli", "serve", "--authz-only", "--uds", str(socket)],
        cwd=folder,
        env=environment(folder, realms),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: socket.exists() or process.poll() is not None, what="the socket of forward auth")
        yield process
    finally:
        stop_group(process)


@pytest.mark.parametrize("proxy", ["nginx", "caddy", "envoy"])
async def test_door_asks_over_a_unix_socket_and_closes_when_the_process_is_gone(
    proxy: str, realms: DevRealmServer, tmp_path: Path
) -> None:
    require(proxy, available=binary(proxy) is not None, how=HOW[proxy])
    async with running_app(tmp_path, realms) as api:
        await onboard(api, "acme")
    good = bearer(realms.realm("acme").mint())
    with authorizer(tmp_path, realms) as process:
        async with (
            serving_upstream() as upstream,
            running_proxy(
                proxy, folder=tmp_path, authorizer=f"unix:{tmp_path / 'authz.sock'}", upstream=upstream.port
            ) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        ):
            assert (await client.get("/", headers=good)).status_code == 200
            assert any(line.lower() == "x-tenant-slug: acme" for line in upstream.lines[-1])
            assert (await client.get("/")).status_code == 401
            reached = len(upstream.lines)
            stop_group(process)
            assert (await client.get("/", headers=good)).status_code in (502, 503)
            assert len(upstream.lines) == reached
