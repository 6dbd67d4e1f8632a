"""The whole API over HTTP, in this process, beside development realms: what a client and an admin would see."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tenants_api.app import create_app
from tenants_api.clocks import Clocks
from tenants_api.composition import open_services
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.settings import Settings
from tests.support.realms import migrate, settings_for
from tests.support.waiting import DEADLINE, becomes

ADMIN_KEY = "tests-bootstrap-admin-key-0123456789abcdef"
CLIENT_ID = "tenants-api"


whole_app = partial(create_app, sample=True)  # as `tenants-api serve` has it


class ApiClient(httpx.AsyncClient):
    """A client of one application; `server` holds the development realms beside it."""

    def __init__(self, app: FastAPI, *, server: DevRealmServer) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://api.test")
        self.app, self.server = app, server

    async def me(self, token: str, *, path: str = "/v1/me") -> httpx.Response:
        return await self.get(path, headers=bearer(token))

    async def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A call of the admin plane with the bootstrap key."""
        headers = {**bearer(ADMIN_KEY), **more.pop("headers", {})}
        return await self.request(method, f"/admin/v1{path}", headers=headers, **more)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def running_app(
    folder: Path, server: DevRealmServer, *, factory: Callable[[Settings], FastAPI] = whole_app, **settings: Any
) -> AsyncIterator[ApiClient]:
    """The application that `factory` makes, on the database of `folder`."""
    chosen = settings_for(server, folder, **{"admin_api_key": ADMIN_KEY, **settings})
    await asyncio.to_thread(migrate, chosen)
    app = factory(chosen)
    async with app.router.lifespan_context(app), ApiClient(app, server=server) as client:
        yield client


async def onboard(client: ApiClient, name: str, *, role_mapping: Any = None, **realm: Any) -> dict[str, Any]:
    """Register the development realm of this name as a tenant; it is active after this."""
    body: dict[str, Any] = {
        "slug": name,
        "name": name.title(),
        "realms": [{"issuer": client.server.realm(name).issuer, "client_id": CLIENT_ID, **realm}],
    }
    if role_mapping is not None:
        body["role_mapping"] = role_mapping
    answer = await client.admin("POST", "/tenants", json=body)
    assert answer.status_code == 201, answer.text
    tenant: dict[str, Any] = answer.json()
    assert tenant["state"] == "active", tenant
    return tenant


def forget_keys(folder: Path) -> None:
    """Empty the stored key sets, so that the next process starts cold."""
    connection = sqlite3.connect(folder / "tenants.db")
    with connection:
        connection.execute("delete from realm_keys")
    connection.close()


async def until(
    status: int, call: Callable[[], Awaitable[httpx.Response]], *, within: float = DEADLINE
) -> httpx.Response:
    """Repeat a call until it answers this status; fails when that takes longer than `within` seconds; see `becomes`."""
    answers: list[httpx.Response] = []

    async def ask() -> int:
        answers.append(await call())
        return answers[-1].status_code

    await becomes(status, ask, within=within)
    return answers[-1]


@dataclass
class MovedClock:
    """Lifetimes of keys and tokens that a test lets pass: `moved_on` seconds more than have passed."""

    moved_on: float = 0.0

    def create(self, settings: Settings) -> FastAPI:
        """A factory for `running_app`."""
        clocks = Clocks(monotonic=lambda: time.monotonic() + self.moved_on)
        app = whole_app(settings)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with open_services(settings, clocks=clocks) as services:
                app.state.services = services
                yield

        app.router.lifespan_context = lifespan
        return app
