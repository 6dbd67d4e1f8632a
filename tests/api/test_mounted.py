"""`Tenancy` in an application of one's own: what it adds besides the principal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tenants_api import CurrentPrincipal, Settings, Tenancy
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.testing import memory_registry
from tests.support.stack import ADMIN_KEY, bearer


@pytest.fixture
def settings(tenants_dev_realms: DevRealmServer) -> Iterator[Settings]:
    with memory_registry(tenants_dev_realms, admin_api_key=ADMIN_KEY) as made:
        yield made


def own_app(settings: Settings, **options: Any) -> FastAPI:
    tenancy = Tenancy(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with tenancy.running():
            yield

    app = FastAPI(lifespan=lifespan, title="Own")

    @app.get("/orders")
    async def orders(caller: CurrentPrincipal) -> str:
        return caller.tenant.slug

    @app.get("/open")
    async def opened() -> str:
        return "open"

    tenancy.install(app, **options)
    return app


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
