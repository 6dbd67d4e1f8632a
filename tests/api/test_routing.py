"""Where a path is looked for, and when a body is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body, Request

from tenants_api import CurrentPrincipal, Settings, create_app
from tenants_api.devkit.applications import make_principal
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.settings import load_settings
from tenants_api.testing import as_principal
from tenants_api.web.dependencies import current_principal
from tenants_api.web.routing import StrictRequest, may_meet
from tests.support.stack import ApiClient, bearer, onboard, running_app

JSON = {"Content-Type": "application/json"}
orders, catch_all = APIRouter(), APIRouter()


@orders.post("/v1/orders")
async def add_order(caller: CurrentPrincipal, order: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    return {"by": caller.tenant.slug, **order}


@orders.post("/v1/open-orders")
async def add_open_order(order: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    return order


@orders.delete("/v1/orders")
async def drop_orders() -> str:
    return "dropped"


@catch_all.get("/{anything:path}")
async def rest(anything: str) -> str:
    return f"not ours: {anything}"


@pytest.fixture
def nowhere() -> Settings:
    return load_settings(_env_file=None, database_url="sqlite+aiosqlite:////nowhere/tenants.db")


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")


@pytest.fixture
async def api(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms, factory=partial(create_app, routers=[orders], sample=True)) as opened:
        await onboard(opened, "acme")
        await onboard(opened, "globex")
        yield opened


async def test_no_route_of_a_team_takes_a_path_of_ours(nowhere: Settings) -> None:
    async with client_of(create_app(nowhere, routers=[catch_all, orders], sample=True)) as client:
        assert (await client.get("/public")).json() == {"message": "This resource is public."}
        assert (await client.get("/livez")).text == "ok"
        assert (await client.get("/admin/nothing")).json()["code"] == "not_found"
        assert (await client.get("/elsewhere")).json() == "not ours: elsewhere"
        assert (await client.delete("/v1/orders")).json() == "dropped"


def test_routes_of_a_team_are_looked_at_first_unless_they_could_take_a_path_of_ours(nowhere: Settings) -> None:
    app = create_app(nowhere, routers=[catch_all, orders])
    asked = [getattr(route, "original_router", route) for route in app.routes]
    assert asked[:2] == [orders, orders]
    assert asked[-2:] == [catch_all, catch_all]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("/v1/me", "/v1/me", True),
        ("/v1/me", "/v1/items", False),
        ("/v1/{id}", "/v1/me", True),
        ("/v1/{id}", "/v1/me/roles", False),
        ("/t/{slug}/docs", "/t/acme/{page}", True),
        ("/{rest:path}", "/v1/me", True),
        ("/admin/{rest:path}", "/administration", False),
        ("/v1/me", "/v1/me/", False),
    ],
)
def test_templates_meet_where_one_path_could_match_both(one: str, other: str, meet: bool) -> None:
    assert may_meet(one, other) is may_meet(other, one) is meet


async def test_body_is_parsed_once() -> None:
    """FastAPI's own reading gives the very value that was read strictly."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"article":"paper"}'}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    request = StrictRequest.of(Request(scope, receive))
    assert StrictRequest.of(request) is request
    assert await request.json() == {"article": "paper"}
    assert await request.json() is await request.json()


async def test_body_of_somebody_unknown_is_not_received(api: ApiClient) -> None:
    """Neither is it parsed: what is wrong with it is told to callers alone."""
    asked = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        yield b'{"a": NaN}'

    for path in ("/v1/orders", "/v1/items"):
        answer = await api.post(path, content=body(), headers={**bearer("a.b.c"), **JSON})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert asked == 0
    token = api.server.realm("acme").mint()
    assert (await api.post("/v1/orders", content=body(), headers={**bearer(token), **JSON})).status_code == 400
    assert (await api.post("/v1/open-orders", content=body(), headers=JSON)).status_code == 400


async def test_caller_of_a_test_needs_no_token(nowhere: Settings) -> None:
    app = create_app(nowhere, routers=[orders])
    async with client_of(as_principal(app, tenant="acme")) as client:
        assert (await client.post("/v1/orders", json={"a": 1})).json() == {"by": "acme", "a": 1}
    app.dependency_overrides[current_principal] = lambda: make_principal("globex", roles=())
    async with client_of(app) as client:
        assert (await client.post("/v1/orders", json={"a": 1})).json() == {"by": "globex", "a": 1}


async def test_body_that_breaks_off_is_the_callers_mistake(nowhere: Settings) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/open-orders", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    await create_app(nowhere, routers=[orders])(scope, receive, send)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["detail"]) == (
        400,
        "the body is incomplete: the client disconnected",
    )
