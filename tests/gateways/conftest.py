"""One API on a real port, a service that echoes, and each proxy between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.server.options import server_options
from tests.gateways.proxies import HOW, PROXIES, binary, running_proxy
from tests.gateways.upstream import Upstream, serving_upstream
from tests.support.machine import require
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, onboard, running_app


@dataclass(slots=True)
class Recorder:
    """Forwards to the API and keeps what the proxy asked and was told; `parts` are (name, value) in order."""

    app: Any
    asked: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    told: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    bodies: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def recording(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.told.append((message["status"], _text(message["headers"])))
            await send(message)

        async def counting() -> Any:
            self.bodies += 1
            return await receive()

        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        self.asked.append((f"{scope['method']} {scope['raw_path'].decode()}{query}", _text(scope["headers"])))
        await self.app(scope, counting, recording)


@dataclass(frozen=True, slots=True)
class Door:
    """What a test needs: a client of the proxy, and both sides of it."""

    proxy: str
    url: str
    client: httpx.AsyncClient
    api: ApiClient
    recorder: Recorder
    upstream: Upstream

    def token(self, user: str = "alice", *, realm: str = "acme", **claims: Any) -> str:
        return self.api.server.realm(realm).mint(username=user, claims=claims)

    def bearer(self, user: str = "alice", *, realm: str = "acme", **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user, realm=realm, **claims)}"}


def _text(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


@pytest.fixture(scope="module")
def realms() -> Iterator[DevRealmServer]:
    with dev_realms("acme", "globex") as server:
        yield server


@pytest.fixture(scope="module")
async def api(realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path_factory.mktemp("api"), realms) as opened:
        await onboard(opened, "acme")
        await onboard(opened, "globex")
        yield opened


@pytest.fixture(scope="module", params=PROXIES)
async def door(
    request: pytest.FixtureRequest, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """A door for acme's editors."""
    require(request.param, available=binary(request.param) is not None, how=HOW[request.param])
    folder: Path = tmp_path_factory.mktemp(request.param)
    async with open_door(request.param, api=api, folder=folder, tenant="acme", role="viewer") as opened:
        yield opened


@asynccontextmanager
async def open_door(proxy: str, *, api: ApiClient, folder: Path, **plan: Any) -> AsyncIterator[Door]:
    recorder = Recorder(api.app)
    async with (
        served(recorder, max_token_bytes=plan.get("max_token_bytes", 8192)) as port,
        serving_upstream() as upstream,
        running_proxy(proxy, folder=folder, authorizer=f"127.0.0.1:{port}", upstream=upstream.port, **plan) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Door(proxy, url, client, api, recorder, upstream)


@asynccontextmanager
async def served(app: Any, *, max_token_bytes: int = 8192) -> AsyncIterator[int]:
    """The application on a port, with the options of `tenants-api serve` that matter here."""
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        ws="none",
        http=server_options(host="", port=0, workers=1, uds=None, max_token_bytes=max_token_bytes)["http"],
        server_header=False,
        proxy_headers=False,
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task
