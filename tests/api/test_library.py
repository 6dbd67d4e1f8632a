"""A team's own routes on the library: what they raise, what the contract says of them, what the log keeps."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import APIRouter, FastAPI, HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

import tenants_api
from tenants_api import CurrentPrincipal, Settings, create_app
from tenants_api.devkit.realms import DevRealmServer
from tests.support.stack import ADMIN_KEY, ApiClient, bearer, onboard, running_app

router = APIRouter(prefix="/v1/orders", tags=["orders"])


@router.get("/broken")
async def broken(principal: CurrentPrincipal) -> None:
    raise ZeroDivisionError("text of the inside")


@router.get("/refused/{status}")
async def refused(status: int, principal: CurrentPrincipal) -> None:
    raise HTTPException(status, "the order is closed", headers={"X-Own": "1"})


@router.get("/silent/{status}")
async def silent(status: int, principal: CurrentPrincipal) -> None:
    raise HTTPException(status, {"inside": "text of the inside"})


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """structlog as a process finds it that never heard of our logging."""
    before, was = structlog.get_config(), structlog.is_configured()
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    if was:
        structlog.configure(**before)


@pytest.fixture
async def api(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms, factory=partial(create_app, routers=[router])) as opened:
        await onboard(opened, "acme")
        await onboard(opened, "globex")
        yield opened


def caller(api: ApiClient) -> dict[str, str]:
    return bearer(api.server.realm("acme").mint())


async def test_refusal_of_a_team_keeps_its_status_words_and_headers(api: ApiClient) -> None:
    codes = {
        400: "invalid_request",
        403: "http_403",
        404: "not_found",
        409: "http_409",
        418: "http_418",
        599: "http_599",
    }
    for status, code in codes.items():
        answer = await api.get(f"/t/acme/v1/orders/refused/{status}", headers=caller(api))
        assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (
            status,
            code,
            "the order is closed",
        )
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["X-Own"] == "1"
        silent = await api.get(f"/v1/orders/silent/{status}", headers=caller(api))
        assert (silent.status_code, silent.json()["code"]) == (status, code)
        assert "inside" not in silent.text


async def test_mistake_of_a_team_is_a_problem_without_its_text(api: ApiClient) -> None:
    answer = await api.get("/v1/orders/broken", headers={**caller(api), "X-Request-ID": "mine"})
    assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "internal_error", "mine")
    assert answer.headers["X-Request-ID"] == "mine"
    assert "inside" not in answer.text


@pytest.mark.usefixtures("unconfigured")
async def test_mistake_in_a_process_that_set_up_no_logging_writes_no_token(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    written = io.StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        async with running_app(tmp_path, realms, factory=partial(create_app, routers=[router])) as api:
            await onboard(api, "acme")
            token = realms.realm("acme").mint()
            assert (await api.get("/v1/orders/broken", headers=bearer(token))).status_code == 500
            await api.me(token[:-8])
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    assert "ZeroDivisionError" in next(one for one in events if one["event"] == "unhandled_error")["exception"]
    assert "token_refused" in [one["event"] for one in events]
    for part in token.split("."):
        assert part[:40] not in written.getvalue().replace("\n", "")


@pytest.mark.usefixtures("unconfigured")
async def test_logging_that_the_process_set_up_itself_stays(realms: DevRealmServer, tmp_path: Path) -> None:
    kept = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=kept))
    async with running_app(tmp_path, realms, factory=partial(create_app, routers=[router])) as api:
        await onboard(api, "acme")
        token = realms.realm("acme").mint()
        assert (await api.get("/v1/orders/broken", headers=bearer(token))).status_code == 500
    assert "unhandled_error" in kept.getvalue()
    for trace in ("authorization", token[:20]):
        assert trace not in kept.getvalue(), "a formatter that prints local variables gets none"


async def test_contract_lists_the_routes_of_a_team_with_the_problems_of_their_guard(api: ApiClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    for path in ("/v1/orders/broken", "/t/{tenant_slug}/v1/orders/broken"):
        assert {"401", "403", "500", "503"} <= set(paths[path]["get"]["responses"])
        assert paths[path]["get"]["security"] == [{"bearer": []}]


def test_names_of_the_library_are_there_and_others_are_not() -> None:
    for name in tenants_api.__all__:
        assert getattr(tenants_api, name) is not None
    with pytest.raises(AttributeError):
        tenants_api.nothing_of_this_name  # noqa: B018 - the access is the test


def test_package_is_light_until_a_name_is_used() -> None:
    code = "import sys, tenants_api; sys.exit(any(name in sys.modules for name in ('fastapi', 'sqlalchemy', 'jwt')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_application_serves_its_own_routes_with_its_own_title_lifespan_and_middleware(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    """B8, E14."""
    seen: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append(app.state.services)
        yield {"opened": "a database"}
        seen.append("closed")

    class Own:
        def __init__(self, app: ASGIApp, *, name: str) -> None:
            self.app, self.name = app, name

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((self.name, scope.get("state")))
            await self.app(scope, receive, send)

    factory = partial(
        create_app, routers=[router], title="Orders", version="7", lifespan=lifespan,
        middleware=[Middleware(Own, name="own")],
    )  # fmt: skip
    async with running_app(tmp_path, realms, factory=factory, docs_enabled=True) as api:
        await onboard(api, "acme")
        assert seen[0] is api.app.state.services
        assert (await api.get("/v1/orders/refused/409", headers=caller(api))).status_code == 409
        assert seen[-1][0] == "own"
        document = (await api.get("/openapi.json")).json()
        assert (document["info"]["title"], document["info"]["version"]) == ("Orders", "7")
        assert "<title>Acme · Orders</title>" in (await api.get("/t/acme/docs")).text
        assert (await api.get("/")).json()["name"] == "Orders"
        for path in ("/v1/items", "/t/acme/v1/items", "/public"):
            assert path not in document["paths"]
            assert (await api.get(path, headers=caller(api))).status_code == 404
    assert seen[-1] == "closed"


def test_argument_that_the_api_sets_itself_is_refused() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="docs_url"):
        create_app(settings, docs_url="/elsewhere")


async def test_page_of_an_allowed_origin_reads_every_answer(realms: DevRealmServer, tmp_path: Path) -> None:
    """B4."""
    factory, origin = partial(create_app, routers=[router]), {"Origin": "https://app.example"}
    settings = {"cors_origins": ("https://app.example",), "cors_headers": ("X-Own",)}
    async with running_app(tmp_path, realms, factory=factory, **settings) as api:
        await onboard(api, "acme")
        answers = {
            401: await api.get("/v1/me", headers=origin),
            404: await api.get("/nowhere", headers=origin),
            413: await api.post("/admin/v1/tenants", content=b"a" * 300_000, headers={**bearer(ADMIN_KEY), **origin}),
            414: await api.get(f"/v1/me?{'a' * 9000}", headers=origin),
            500: await api.get("/v1/orders/broken", headers={**caller(api), **origin}),
        }
        for status, answer in answers.items():
            assert answer.status_code == status, answer.text
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example", status
            assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"].lower(), status
        asked = {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "traceparent,x-requested-with,x-own",
        }
        assert (await api.options("/v1/me", headers={**origin, **asked})).status_code == 200
        foreign = await api.get("/v1/orders/broken", headers={**caller(api), "Origin": "https://evil.example"})
        assert (foreign.status_code, "access-control-allow-origin" in foreign.headers) == (500, False)
