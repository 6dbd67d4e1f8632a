"""A process that serves has no full collection over all that its start has made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tenants_api.authz.process import served_app as served_authz
from tenants_api.cli.serve import served_app
from tenants_api.serving.frozen import frozen_at_start

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


async def started(app: Any) -> tuple[list[str], list[int]]:
    """What was sent for a lifespan or a request, and how much was frozen when it was."""
    sent: list[str] = []
    frozen: list[int] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])
        frozen.append(gc.get_freeze_count())

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    await app({"type": "lifespan"}, receive, send)
    return sent, frozen


async def test_start_is_frozen_before_the_server_learns_that_it_is_complete() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    before = gc.get_freeze_count()
    sent, frozen = await started(frozen_at_start(app))
    assert sent == ["lifespan.startup.complete"]
    assert frozen[0] > before + 10_000


async def test_start_that_failed_freezes_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    before = gc.get_freeze_count()
    sent, frozen = await started(frozen_at_start(app))
    assert (sent, frozen) == (["lifespan.startup.failed"], [before])


async def test_requests_are_handed_on_as_they_are() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    request = ({"type": "http"}, object(), object())
    await frozen_at_start(app)(*request)  # type: ignore[arg-type]
    assert seen == [request]


@pytest.mark.parametrize("served", [served_app, served_authz])
def test_both_servers_are_frozen_at_their_start(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_DATABASE_URL", "sqlite+aiosqlite:///none.db")
    assert served().__qualname__ == "frozen_at_start.<locals>.served"
