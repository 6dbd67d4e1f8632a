"""Malformed and oversized credentials are refused like tokens: logged, counted, and bounded by one setting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from structlog.testing import capture_logs

from tenants_api import Tenancy, websocket_principal
from tenants_api.composition import Services
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.server.standalone import AuthzApp, open_authorizer
from tenants_api.testing import memory_registry
from tests.attacks.arena import counting
from tests.support.lived import lived
from tests.support.own_app import own_app
from tests.support.realms import settings_for
from tests.support.stack import ADMIN_KEY, ApiClient, bearer, onboard, running_app

LARGE = 65_536


def refused(events: list[Any]) -> list[Any]:
    """The refusals of the log, without what the logging adds."""
    return [
        {name: one[name] for name in ("reason", "step", "expected", "found", "tenant")}
        for one in events
        if one["event"] == "token_refused"
    ]


def malformed(found: Any, expected: str = "`Bearer`, a space and one token") -> dict[str, Any]:
    return {
        "reason": "malformed_credentials",
        "step": "credentials",
        "expected": expected,
        "found": found,
        "tenant": None,
    }


TOO_LARGE = {
    "reason": "token_too_large",
    "step": "credentials",
    "expected": "at most 8192 bytes (TENANTS_MAX_TOKEN_BYTES)",
    "found": 8193,
    "tenant": None,
}
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "two headers": (["Bearer {}", "Bearer {}"], malformed(2, "one Authorization header")),
    "no token": (["Bearer"], malformed("no token after `Bearer` and a space")),
    "a tab": (["Bearer\t{}"], malformed("no token after `Bearer` and a space")),
    "two tokens": (["Bearer {} {}"], malformed("white space or a comma in the token")),
    "a list": (["Bearer {},{}"], malformed("white space or a comma in the token")),
    "over 8192 bytes": (["Bearer " + "a" * (8193 - len("Bearer "))], TOO_LARGE),
}


@pytest.mark.parametrize(("values", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("path", ["/v1/me", "/t/acme/v1/me", "/admin/v1/tenants", "/authz", "/authz/orders"])
async def test_malformed_credentials_are_logged_and_counted(
    client: ApiClient, path: str, values: list[str], expected: dict[str, Any]
) -> None:
    """A8"""
    good = client.server.realm("acme").mint()
    services: Services = client.app.state.services
    headers = [("Authorization", value.format(good, good)) for value in values]
    with capture_logs() as events, counting(services) as reasons:
        answer = await client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert refused(events) == [expected]
    assert reasons == [expected["reason"]]
    assert good not in str(events)


@pytest.mark.parametrize("path", ["/v1/me", "/admin/v1/tenants"])
async def test_token_in_the_query_is_logged_and_counted_without_it(client: ApiClient, path: str) -> None:
    """A8"""
    good = client.server.realm("acme").mint()
    with capture_logs() as events, counting(client.app.state.services) as reasons:
        answer = await client.get(path, params={"access_token": good})
    assert answer.status_code == 400
    assert refused(events) == [malformed("access_token in the query", "no access_token in the query")]
    assert reasons == ["malformed_credentials"]
    assert good not in str(events)


@pytest.mark.parametrize("path", ["/v1/me", "/t/acme/v1/me", "/admin/v1/tenants", "/authz/orders"])
async def test_refusal_in_the_log_names_address_method_and_path_of_the_request(client: ApiClient, path: str) -> None:
    """E22"""
    bad = client.server.realm("acme").mint()[:-8]
    with capture_logs() as events:
        answer = await client.delete(path, headers={**bearer(bad), "X-Request-ID": "mine"})
        assert (await client.get("/v1/me", headers=bearer(bad))).status_code == 401
    if answer.status_code == 405:  # this path has no such method, and its router asks for no token
        return
    first, second = (one for one in events if one["event"] == "token_refused")
    assert (first["address"], first["method"], first["path"]) == ("127.0.0.1", "DELETE", path)
    assert first["request_id"] == "mine"
    assert (second["method"], second["path"]) == ("GET", "/v1/me")
    assert bad not in str(events)


async def test_missing_credentials_are_no_refusal_of_a_token(client: ApiClient) -> None:
    with capture_logs() as events, counting(client.app.state.services) as reasons:
        assert (await client.get("/v1/me")).status_code == 401
        assert (await client.get("/authz", headers={"Authorization": "Basic YTpi"})).status_code == 401
    assert (refused(events), reasons) == ([], [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
async def large(realms: DevRealmServer, folder: Path) -> AsyncIterator[ApiClient]:
    """An API that takes tokens of 64 KiB, with two tenants, on the database of `folder`."""
    async with running_app(folder, realms, max_token_bytes=LARGE) as opened:
        await onboard(opened, "acme")
        await onboard(opened, "globex")
        yield opened


def sized(client: ApiClient, size: int, *, realm: str = "acme") -> str:
    """A good token whose header's value has about this many bytes, and no more."""
    empty = len(client.server.realm(realm).mint(claims={"filler": ""})) + len("Bearer ")
    raw = client.server.realm(realm).mint(claims={"filler": "x" * ((size - empty) * 3 // 4 - 2)})
    assert size - 16 <= len(raw) + len("Bearer ") <= size
    return raw


@pytest.mark.parametrize("size", [8800, 20_000, LARGE])
@pytest.mark.parametrize("realm", ["acme", "globex"])
async def test_setting_lets_larger_tokens_in_everywhere(large: ApiClient, size: int, realm: str) -> None:
    """A8: the API, forward auth, and an admin who asks why."""
    raw = sized(large, size, realm=realm)
    assert (await large.me(raw)).json()["tenant"]["slug"] == realm
    assert (await large.get("/authz", headers=bearer(raw))).headers["X-Tenant-Slug"] == realm
    explained = await large.admin("POST", "/tokens/explain", json={"token": raw})
    assert (explained.json()["accepted"], explained.json()["reason"]) == (True, "accepted")


async def test_sample_token_may_be_as_large_as_any_other(realms: DevRealmServer, tmp_path: Path) -> None:
    """A8"""
    async with running_app(tmp_path, realms, max_token_bytes=LARGE) as large:
        await onboard(large, "globex")
        issuer = realms.realm("acme").issuer
        body = {"issuer": issuer, "client_id": "tenants-api", "sample_token": sized(large, 40_000)}
        report = (await large.admin("POST", "/issuer-checks", json=body)).json()
    conditions = {one["type"]: one for one in report["conditions"]}
    assert conditions["SampleTokenVerified"]["status"] == "True"


async def test_bound_of_the_setting_holds_for_header_and_token(large: ApiClient) -> None:
    """A8"""
    with capture_logs() as events, counting(large.app.state.services) as reasons:
        answer = await large.me("a" * (LARGE + 1 - len("Bearer ")))
    assert answer.status_code == 400
    assert (refused(events)[0]["found"], reasons) == (LARGE + 1, ["token_too_large"])


async def test_token_over_the_bound_is_explained_as_one(client: ApiClient) -> None:
    """A8"""
    raw = sized(client, 9000)
    explained = (await client.admin("POST", "/tokens/explain", json={"token": raw})).json()
    assert (explained["accepted"], explained["reason"]) == (False, "token_too_large")
    assert explained["steps"][-1]["expected"] == "at most 8192 bytes (TENANTS_MAX_TOKEN_BYTES)"


@pytest.mark.parametrize(("values", "expected"), CASES.values(), ids=CASES)
async def test_standalone_forward_auth_logs_and_counts_them_too(
    large: ApiClient, folder: Path, values: list[str], expected: dict[str, Any]
) -> None:
    """A8: on the same registry, with the default bound."""
    settings = settings_for(large.server, folder, admin_api_key=ADMIN_KEY)
    good = large.server.realm("acme").mint()
    app = AuthzApp(lambda: open_authorizer(settings))
    async with lived(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.test") as alone:
        with capture_logs() as events:
            answer = await alone.get("/authz", headers=[("Authorization", one.format(good, good)) for one in values])
        assert answer.status_code == 400
        assert refused(events) == [expected]
        counted = f'tenants_token_verifications_total{{reason="{expected["reason"]}",result="refused"}} 1.0'
        assert counted in (await alone.get("/metrics")).text
        assert (await alone.get("/authz", headers=bearer(good))).status_code == 200


async def test_standalone_forward_auth_follows_the_setting(large: ApiClient, folder: Path) -> None:
    """A8"""
    settings = settings_for(large.server, folder, admin_api_key=ADMIN_KEY, max_token_bytes=LARGE)
    app = AuthzApp(lambda: open_authorizer(settings))
    async with lived(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.test") as alone:
        assert (await alone.get("/authz", headers=bearer(sized(large, LARGE)))).status_code == 200


@pytest.mark.parametrize("by_message", [False, True])
def test_websocket_is_refused_with_the_reason_in_the_log(realms: DevRealmServer, by_message: bool) -> None:
    """A8: in the header, and as the first message, which no header's bound is for."""
    with memory_registry(realms, admin_api_key=ADMIN_KEY) as settings:
        tenancy = Tenancy(settings)
        app = own_app(tenancy)

        @app.websocket("/hello")
        async def hello(socket: WebSocket) -> None:
            principal = await websocket_principal(socket)
            await socket.send_json({"tenant": principal.tenant.slug})

        tenancy.install(app)
        with TestClient(app) as client, capture_logs() as events:
            headers = {} if by_message else bearer("a" * 9000)
            with (  # noqa: PT012 - which of the two finds out is not said
                pytest.raises(WebSocketDisconnect) as closed,
                client.websocket_connect("/hello", headers=headers) as one,
            ):
                one.send_text("a" * 9000)
                one.receive_json()
            for name in ("acme", "globex"):
                good = realms.realm(name).mint()
                with client.websocket_connect("/hello", headers={"Authorization": f"Bearer  {good}"}) as one:
                    assert one.receive_json() == {"tenant": name}
    assert (closed.value.code, closed.value.reason) == (1008, "invalid_token" if by_message else "invalid_request")
    assert [one["reason"] for one in refused(events)] == ["token_too_large"]
    (logged,) = (one for one in events if one["event"] == "token_refused")
    assert (logged["address"], logged["method"], logged["path"]) == ("testclient", "GET", "/hello")
    assert logged["request_id"]
