"""A caller of the test's choice, for routes, mounted parts and WebSockets, with nothing running."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from examples import orders_api, own_app
from tenants_api import RoleModel, Settings, Tenancy, create_app, requires
from tenants_api.readiness import NotReady
from tenants_api.settings import load_settings
from tenants_api.testing import as_principal

pytestmark = pytest.mark.anyio


@pytest.fixture
def nowhere() -> Settings:
    """A database that cannot be opened: nothing here may need one."""
    return load_settings(_env_file=None, database_url="sqlite+aiosqlite:////nowhere/tenants.db")


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")


async def test_roles_are_checked_as_ever(nowhere: Settings) -> None:
    app = orders_api.create(nowhere)
    paper = {"article": "paper", "pieces": 3}
    async with client_of(as_principal(app, roles=["manager"])) as manager, client_of(as_principal(app)) as nobody:
        assert (await manager.post("/v1/orders", json=paper)).status_code == 201
        assert (await manager.get("/v1/orders")).json() == [paper], "a manager may do what a clerk may"
        refused = await nobody.get("/v1/orders")
        assert (refused.status_code, refused.json()["required_role"]) == (403, "clerk")


async def test_tenant_in_the_path_is_compared(nowhere: Settings) -> None:
    async with client_of(as_principal(orders_api.create(nowhere), tenant="acme", roles=["clerk"])) as acme:
        assert (await acme.get("/t/acme/v1/orders")).status_code == 200
        assert (await acme.get("/t/globex/v1/orders")).json()["code"] == "tenant_mismatch"


async def test_two_callers_of_one_application_do_not_disturb_each_other(nowhere: Settings) -> None:
    app = own_app.create(nowhere)
    callers = [client_of(as_principal(app, tenant=name, roles=["clerk"])) for name in ("acme", "globex")]
    answers = [await caller.get("/reports/today") for caller in (*callers, *callers)]
    assert [answer.json()["tenant"] for answer in answers] == ["acme", "globex", "acme", "globex"]


async def test_without_a_principal_the_application_asks_for_a_token(nowhere: Settings) -> None:
    app = own_app.create(nowhere)
    as_principal(app, roles=["clerk"])
    with pytest.raises(RuntimeError, match=r"enter tenancy\.running\(\)"):
        TestClient(app).get("/reports/today")


@pytest.mark.parametrize("create", [own_app.create, orders_api.create])
def test_lifespan_may_run_and_needs_no_database(nowhere: Settings, create: Any) -> None:
    """E12: the application's own part of the lifespan runs, this library's opens an empty registry."""
    app = create(nowhere)
    path = "/notes" if create is own_app.create else "/v1/orders"
    for tenant in ("acme", "globex"):
        with TestClient(as_principal(app, tenant=tenant, roles=["clerk"])) as client:
            assert client.get(path).json() == []
            assert client.get("/readyz").status_code == 200
    assert client.get("/reports/today" if create is own_app.create else path).status_code == 200, "after it too"
    with pytest.raises(NotReady), TestClient(app):
        pass


def test_websocket_has_the_principal(nowhere: Settings) -> None:
    app = as_principal(own_app.create(nowhere), tenant="globex", subject="bob")
    with TestClient(app).websocket_connect("/greeting") as socket:
        assert socket.receive_json() == {"tenant": "globex", "subject": "bob"}


def test_route_that_does_not_ask_who_calls_is_not_touched(nowhere: Settings) -> None:
    app = FastAPI()
    seen: list[dict[str, Any]] = []

    async def unguarded(request: Request) -> None:
        seen.append(dict(request.scope))

    app.add_api_route("/open", unguarded)
    Tenancy(nowhere).install(app)
    assert app.user_middleware == []
    TestClient(app).get("/open")
    assert [name for name in seen[0] if name.startswith("tenants_api")] == []


def test_part_that_is_mounted_within_a_middleware_has_the_principal(nowhere: Settings) -> None:
    app, part = FastAPI(), FastAPI()
    part.add_api_route("/today", own_app.reports)
    app.mount("/reports", GZipMiddleware(part))
    Tenancy(nowhere, roles=own_app.ROLES).install(app)
    for roles, status in ((["clerk"], 200), ([], 403)):
        caller = as_principal(app, tenant="globex", roles=roles)
        assert TestClient(caller).get("/reports/today").status_code == status


def test_fact_that_no_principal_has_is_refused(nowhere: Settings) -> None:
    with pytest.raises(TypeError, match="shoe_size"):
        as_principal(own_app.create(nowhere), shoe_size=43)


@pytest.mark.parametrize("how", ["create_app", "Tenancy"])
def test_route_with_a_misspelt_role_is_refused_when_the_application_is_made(nowhere: Settings, how: str) -> None:
    router = APIRouter()
    router.add_api_route("/orders", lambda: None, dependencies=[requires("clrek")])
    roles = RoleModel({"clerk": ()})

    def make() -> None:
        if how == "create_app":
            create_app(nowhere, routers=[router], roles=roles)
        else:
            app = FastAPI()
            app.include_router(router)
            Tenancy(nowhere, roles=roles).install(app)

    with pytest.raises(ValueError, match="/orders requires the role 'clrek'; expected one of clerk"):
        make()
