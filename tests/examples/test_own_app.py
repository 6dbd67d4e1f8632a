"""The verifier in an application of its own: lifespan, mounted part, WebSocket, background work, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from examples.own_app import ROLES, create
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.role_rules import RoleRule
from tenants_api.testing import memory_registry
from tests.support.stack import ADMIN_KEY, bearer

MAPPING = (RoleRule("realm", "tenant-user", "clerk"),)


@pytest.fixture
def client(tenants_dev_realms: DevRealmServer) -> Iterator[TestClient]:
    registry = memory_registry(tenants_dev_realms, roles=ROLES, role_mapping=MAPPING, admin_api_key=ADMIN_KEY)
    with registry as settings, TestClient(create(settings)) as opened:
        yield opened


@pytest.fixture
def alice(tenants_dev_realms: DevRealmServer) -> str:
    return tenants_dev_realms.realm("acme").mint(username="alice")


@pytest.fixture
def of_globex(tenants_dev_realms: DevRealmServer) -> str:
    return tenants_dev_realms.realm("globex").mint(username="alice")


def test_what_runs_after_the_answer_keeps_the_callers_tenant(client: TestClient, alice: str, of_globex: str) -> None:
    written = client.post("/notes", params={"text": "paper"}, headers=bearer(alice))
    assert written.status_code == 202
    assert client.get("/notes", headers=bearer(alice)).json() == ["paper"]
    assert client.get("/notes", headers=bearer(of_globex)).json() == []


def test_tenant_in_the_path_must_be_the_tokens(client: TestClient, alice: str) -> None:
    assert client.get("/t/acme/notes", headers=bearer(alice)).status_code == 200
    refused = client.get("/t/globex/notes", headers=bearer(alice))
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_mismatch")


@pytest.mark.parametrize("path", ["/notes", "/reports/today"])
def test_refusals_have_the_form_that_they_have_everywhere(client: TestClient, path: str) -> None:
    missing = client.get(path)
    assert (missing.status_code, missing.json()["code"]) == (401, "missing_token")
    assert missing.headers["WWW-Authenticate"].startswith("Bearer")
    invalid = client.get(path, headers=bearer("a.b.c"))
    assert (invalid.status_code, invalid.json()["code"]) == (401, "invalid_token")
    assert invalid.headers["content-type"] == "application/problem+json"


def test_mounted_application_is_covered(client: TestClient, alice: str) -> None:
    assert client.get("/reports/today", headers=bearer(alice)).json() == {"tenant": "acme", "mounted_at": "/reports"}


def test_admin_suspends_and_everything_refuses(client: TestClient, alice: str) -> None:
    assert client.get("/reports/today", headers=bearer(alice)).status_code == 200
    assert client.post("/admin/v1/tenants/acme/suspend", headers=bearer(ADMIN_KEY)).status_code == 200
    for path in ("/notes", "/reports/today"):
        refused = client.get(path, headers=bearer(alice))
        assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/greeting", headers=bearer(alice)):
        pass
    assert (closed.value.code, closed.value.reason) == (1008, "tenant_suspended")


def test_websocket_with_the_token_in_the_header(client: TestClient, alice: str) -> None:
    with client.websocket_connect("/greeting", headers=bearer(alice)) as socket:
        assert socket.receive_json()["tenant"] == "acme"


def test_websocket_with_the_token_as_first_message(client: TestClient, of_globex: str) -> None:
    with client.websocket_connect("/greeting") as socket:
        socket.send_text(of_globex)
        assert socket.receive_json()["tenant"] == "globex"


@pytest.mark.parametrize("first", ["a.b.c", "", "Bearer x"])
def test_websocket_with_a_bad_first_message_is_closed(client: TestClient, first: str) -> None:
    with client.websocket_connect("/greeting") as socket:
        socket.send_text(first)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.reason) == (1008, "invalid_token")


def test_websocket_whose_first_message_is_binary_is_closed(client: TestClient) -> None:
    with client.websocket_connect("/greeting") as socket:
        socket.send_bytes(b"\x00")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.reason) == (1008, "missing_token")


def test_token_in_a_websockets_query_is_not_read(client: TestClient, alice: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect("/greeting", params={"access_token": alice}),
    ):
        pass
    assert closed.value.code == 1008
