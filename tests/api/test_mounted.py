"""`Tenancy` in an application of one's own: what it adds besides the principal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from fastapi.testclient import TestClient

from tenants_api import (
    ApiError,
    CurrentPrincipal,
    InvalidToken,
    RoleModel,
    Settings,
    Tenancy,
    TokenError,
    accept_websocket,
    requires,
)
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.testing import as_principal, memory_registry
from tenants_api.web.dependencies import current_principal
from tests.support.stack import ADMIN_KEY, bearer


@pytest.fixture
def settings(tenants_dev_realms: DevRealmServer) -> Iterator[Settings]:
    with memory_registry(tenants_dev_realms, admin_api_key=ADMIN_KEY) as made:
        yield made


def own_app(
    settings: Settings, *, router: APIRouter | None = None, handlers: dict[Any, Any] | None = None, **options: Any
) -> FastAPI:
    tenancy = Tenancy(settings)

    app = FastAPI(lifespan=running(tenancy), title="Own", exception_handlers=handlers)
    app.include_router(router or APIRouter())

    @app.get("/orders")
    async def orders(caller: CurrentPrincipal) -> str:
        return caller.tenant.slug

    @app.get("/open")
    async def opened() -> str:
        return "open"

    tenancy.install(app, **options)
    return app


def running(*tenancies: Tenancy) -> Any:
    """A lifespan that opens them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for tenancy in tenancies:
                await stack.enter_async_context(tenancy.running())
            yield

    return lifespan


@pytest.mark.parametrize(("admin", "root"), [("/admin", ""), ("/platform", ""), ("/platform", "/api")])
def test_admin_plane_is_right_wherever_it_is_mounted(settings: Settings, admin: str, root: str) -> None:
    """B2, B3."""
    mount = f"{root}{admin}"
    with TestClient(own_app(settings, admin=admin), root_path=root) as client:
        page = client.get(f"{mount}/docs").text
        for link in (one.split('"')[1] for one in page.split("<script src=")[1:]):
            assert link.startswith(f"{mount}/docs/static/")
            assert client.get(link).status_code == 200
        assert f'data-openapi="{mount}/openapi.json"' in page
        assert client.get(f"{mount}/openapi.json").json()["servers"] == [{"url": mount}]
        created = client.post(
            f"{mount}/v1/tenants", json={"slug": "new", "name": "New", "realms": []}, headers=bearer(ADMIN_KEY)
        )
        assert created.headers["Location"] == f"{mount}/v1/tenants/{created.json()['id']}"
        assert client.get(created.headers["Location"], headers=bearer(ADMIN_KEY)).status_code == 200


def test_files_of_the_documentation_are_404_where_it_is_off(settings: Settings) -> None:
    off = settings.model_copy(update={"docs_enabled": False})
    with TestClient(own_app(off)) as client:
        for path in ("/admin/docs", "/admin/openapi.json", "/admin/docs/static/start.js"):
            assert client.get(path).status_code == 404


def test_document_has_the_token_of_routes_that_ask_who_calls_and_leaves_the_rest(settings: Settings) -> None:
    """B6, E4."""
    own_scheme = APIKeyHeader(name="X-Key")
    router = APIRouter(prefix="/v2")

    @router.get("/files/{path:path}", dependencies=[requires("viewer"), Security(own_scheme)])
    async def files(path: str) -> str:
        return path

    app = own_app(settings, router=router)
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
        paths = document["paths"]
        assert set(document["components"]["securitySchemes"]) == {"bearer", "APIKeyHeader"}
        assert paths["/orders"]["get"]["security"] == [{"bearer": []}]
        assert paths["/v2/files/{path}"]["get"]["security"] == [{"APIKeyHeader": [], "bearer": []}]
        assert {"401", "403", "503"} <= paths["/orders"]["get"]["responses"].keys()
        assert "Problem" in document["components"]["schemas"]
        assert "422" in paths["/v2/files/{path}"]["get"]["responses"]
        assert "security" not in paths["/open"]["get"]
        assert "401" not in paths["/open"]["get"]["responses"]
        assert not {"/livez", "/readyz", "/problems/{code}", "/t/{tenant_slug}/docs"} & paths.keys()
        assert client.get("/openapi.json").json() == document


def test_tenant_logs_in_on_its_own_page(settings: Settings, tenants_dev_realms: DevRealmServer) -> None:
    with TestClient(own_app(settings)) as client:
        page = client.get("/t/acme/docs")
        assert page.status_code == 200
        assert "acme" in page.text.lower()
        assert client.get("/docs/static/swagger-ui-bundle.js").status_code == 200
        document = client.get("/t/acme/openapi.json").json()
        flow = document["components"]["securitySchemes"]["realm"]["flows"]["authorizationCode"]
        assert flow["tokenUrl"].startswith(tenants_dev_realms.realm("acme").issuer)
        assert document["paths"]["/orders"]["get"]["security"] == [{"realm": ["openid"]}]


def test_probes_metrics_and_problem_pages_are_served(settings: Settings) -> None:
    """E4."""
    with TestClient(own_app(settings)) as client:
        for path in ("/livez", "/readyz", "/metrics"):
            assert client.get(path).status_code == 200
        assert "tenants_registry_version" in client.get("/metrics").text
        assert client.get(client.get("/orders").json()["type"]).json()["code"] == "missing_token"


def test_own_handler_renders_refusals(settings: Settings, tenants_dev_realms: DevRealmServer) -> None:
    """E4: the exceptions are exported, and a handler of the application's own for them is used."""

    async def rendered(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return JSONResponse({"own": error.code}, error.status, headers=dict(error.headers))

    app = own_app(settings, handlers={ApiError: rendered})
    token = tenants_dev_realms.realm("acme").mint(username="alice")
    with TestClient(app) as client:
        refused = client.get("/orders")
        assert (refused.status_code, refused.json()) == (401, {"own": "missing_token"})
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert client.get("/orders", headers=bearer(token)).json() == "acme"
        assert client.get("/admin/v1/tenants").json()["code"] == "missing_token"

    async def late(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"late": isinstance(error, InvalidToken)}, 401)

    app = own_app(settings)
    app.add_exception_handler(TokenError, late)
    with TestClient(app) as client:
        assert client.get("/orders", headers=bearer("a.b.c")).json() == {"late": True}


def test_mounted_application_has_roles_of_its_own(settings: Settings, tenants_dev_realms: DevRealmServer) -> None:
    """E29."""
    inner = Tenancy(settings, roles=RoleModel({"clerk": ()}))
    outer = Tenancy(settings)
    app, part = FastAPI(lifespan=running(outer, inner)), FastAPI()

    @app.get("/editors", dependencies=[requires("editor")])
    async def editors() -> str:
        return "editor"

    @part.get("/clerks", dependencies=[requires("clerk")])
    async def clerks() -> str:
        return "clerk"

    inner.install(part, admin=None)
    app.mount("/part", part)
    outer.install(app)
    outer.install(app, admin=None)  # a second time changes nothing
    assert (app.state.roles, part.state.roles) == (outer.roles, inner.roles)
    with TestClient(app) as client:
        assert (app.state.services, part.state.services) == (outer.services, inner.services)
        token = tenants_dev_realms.realm("acme").mint(username="carol")
        assert client.get("/part/clerks", headers=bearer(token)).json()["required_role"] == "clerk"


@pytest.mark.parametrize("guard", [Depends(current_principal), requires("editor")])
def test_forgotten_install_is_named(settings: Settings, guard: Any) -> None:
    """E29."""
    tenancy = Tenancy(settings)
    app, part = FastAPI(lifespan=running(tenancy)), FastAPI(title="Reports")
    part.add_api_route("/today", lambda: "", dependencies=[guard])
    tenancy.install(app)
    app.mount("/reports", part)  # too late
    for caller in (app, as_principal(app, roles=["editor"])):
        with TestClient(caller) as client:
            if caller is app or guard.dependency is not current_principal:
                with pytest.raises(RuntimeError, match=r"application 'Reports' .*call tenancy\.install\(app\)"):
                    client.get("/reports/today")


def test_forgotten_lifespan_is_named(settings: Settings) -> None:
    client = TestClient(own_app(settings))
    for path in ("/orders", "/readyz"):
        with pytest.raises(RuntimeError, match=r"enter tenancy\.running\(\)"):
            client.get(path)


@pytest.mark.parametrize("how", ["header", "message"])
def test_websocket_is_accepted_with_a_subprotocol_that_both_speak(
    settings: Settings, tenants_dev_realms: DevRealmServer, how: str
) -> None:
    """B7."""
    router = APIRouter()

    @router.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        caller = await accept_websocket(websocket, subprotocols=["new", "old"])
        await websocket.send_text(caller.tenant.slug)
        await websocket.close()

    token = tenants_dev_realms.realm("acme").mint(username="alice")
    headers = bearer(token) if how == "header" else {}
    with TestClient(own_app(settings, router=router)) as client:
        for offered, accepted in ((["old", "new"], "new"), (["other", "old"], "old"), (["other"], None), ([], None)):
            with client.websocket_connect("/live", subprotocols=offered, headers=dict(headers)) as socket:
                if how == "message":
                    socket.send_text(token)
                assert socket.accepted_subprotocol == accepted
                assert socket.receive_text() == "acme"
