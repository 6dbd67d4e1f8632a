"""What a worker adds around the application."""

from __future__ import annotations

import os
import socket
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send

from tenants_api.server.worker import MetricsPort, with_worker_header
from tests.support.ports import free_port

pytestmark = pytest.mark.anyio


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b""})


async def start(app: Any) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        assert message["type"] == "lifespan.startup.complete"

    await app({"type": "lifespan"}, receive, send)


def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    Counter("answers", "Answers", registry=found)
    return found


async def test_worker_header_names_the_process_beside_the_application_s_own_headers() -> None:
    transport = httpx.ASGITransport(with_worker_header(application))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/")

    assert answer.headers["x-worker"] == str(os.getpid())
    assert answer.headers["x-own"] == "1"


async def test_metrics_port_is_open_once_the_application_has_started() -> None:
    port = free_port()
    app = MetricsPort(application, host="127.0.0.1", port=port, registry=registry)
    try:
        await start(app)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert "answers_total 0.0" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    finally:
        app.close()


async def test_taken_metrics_port_does_not_stop_the_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = MetricsPort(application, host="127.0.0.1", port=taken.getsockname()[1], registry=registry)
        await start(app)
        app.close()
