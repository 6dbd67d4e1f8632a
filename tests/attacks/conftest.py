"""A running API to attack: its verifier's function, and its server's socket for raw bytes that no client would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from tenants_api.app import create_app
from tenants_api.cli.http_limits import BoundedHttp
from tenants_api.verification.errors import TokenError
from tests.attacks.forge import Forge
from tests.support.realms import dev_realms
from tests.support.stack import ApiClient, onboard, running_app

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]

Answer = tuple[int, dict[str, str], Any]  # status, headers by lower-case name, body


@dataclass(frozen=True)
class Target:
    """One running API: its verifier, and the port of its server."""

    client: ApiClient
    forge: Forge
    port: int

    async def outcome(self, raw: str) -> str:
        try:
            principal = await self.client.app.state.services.verifier.verify(raw)
        except TokenError as error:
            return f"{error.code}:{error.refusal.reason if error.refusal else None}"
        return f"accepted:{principal.tenant.slug}"

    async def exchange(self, request: bytes) -> Answer:
        """What the server answers to these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return (int(first.split(" ")[1]) if first else 0), headers, body

    async def me(
        self, *lines: bytes, path: bytes = b"/v1/me", method: bytes = b"GET"
    ) -> tuple[int, dict[str, str], Any]:
        """`/v1/me` with these header lines, byte for byte."""
        head = b"%b %b HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n" % (method, path)
        status, headers, body = await self.exchange(head + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
        return status, headers, json.loads(body) if body.startswith(b"{") else None


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """Serve an application that has started, as `serve` does, on a free port."""
    config = uvicorn.Config(app, port=0, http=BoundedHttp, lifespan="off", log_config=None, server_header=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.fixture(scope="module", params=[0, 1000], ids=["uncached", "cached"])
async def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    folder = tmp_path_factory.mktemp("battery")
    with dev_realms("acme", "globex", "stranger") as server:
        forge = Forge(*(server.realm(name) for name in ("acme", "globex", "stranger")))
        for algorithm in ALGORITHMS:
            forge.acme.keys.signing(algorithm)
        async with running_app(folder, server, factory=create_app, verified_tokens=request.param) as client:
            await onboard(client, "acme", algorithms=ALGORITHMS)
            await onboard(client, "globex")
            async with listening(client.app) as port:
                target = Target(client, forge, port)
                assert await target.outcome(forge.globex.mint()) == "accepted:globex"
                yield target
