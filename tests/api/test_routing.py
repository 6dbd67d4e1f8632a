"""Several routers as one: whatever path one of them knows is found, and no other is searched for."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from tenants_api.api.routing import JoinedRouter

first, second = APIRouter(prefix="/v1"), APIRouter()


@first.get("/items")
async def list_items() -> str:
    return "items"


@first.get("/items/{item}")
async def get_item(item: str) -> str:
    return item


@second.get("/")
async def front() -> str:
    return "front"


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(redirect_slashes=False)
    app.include_router(JoinedRouter([first, second], within=["/t/"]))
    app.include_router(JoinedRouter([first, second], within=["/t/"]), prefix="/t/{tenant}")

    @app.get("/{anything:path}")
    async def rest(anything: str) -> str:
        return f"not ours: {anything}"

    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "front"),
        ("/v1/items", "items"),
        ("/v1/items/7", "7"),
        ("/t/acme/v1/items", "items"),
        ("/t/acme/v1/items/7", "7"),
        ("/v1/other", "not ours: v1/other"),
        ("/v1/items-of-others", "not ours: v1/items-of-others"),
        ("/elsewhere", "not ours: elsewhere"),
    ],
)
def test_path_finds_its_route_and_no_other(client: TestClient, path: str, answer: str) -> None:
    assert client.get(path).json() == answer


def test_method_that_a_known_path_has_not_is_told_what_it_has() -> None:
    app = FastAPI()
    app.include_router(JoinedRouter([first]))
    answer = TestClient(app).post("/v1/items")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_paths_are_those_below_the_place_where_the_application_is_mounted() -> None:
    app, outer = FastAPI(), FastAPI()
    app.include_router(JoinedRouter([first]))
    outer.mount("/below", app)
    assert TestClient(outer).get("/below/v1/items").json() == "items"


def test_route_that_would_never_be_found_is_refused() -> None:
    router = APIRouter()

    @router.websocket("/socket")
    async def socket() -> None: ...

    with pytest.raises(ValueError, match="are joined"):
        JoinedRouter([router])
