"""Who may use the admin plane, and that no route of it was forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from tenants_api.api.admin.plane import create_admin_app
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.values import SCOPES
from tenants_api.web.current_admin import Permission, current_admin
from tenants_api.web.preconditions import AdminRoute
from tests.api.admin.bodies import said
from tests.support.stack import ADMIN_KEY, CLIENT_ID, ApiClient, bearer, onboard, running_app

OPEN = {"/docs", "/openapi.json"}
TENANT, REALM = "/v1/tenants/{ref}", "/v1/tenants/{ref}/realms/{realm_id}"
KNOWN = {
    "GET": {"/v1/tenants", TENANT, f"{TENANT}/realms", REALM, f"{TENANT}/checks", f"{REALM}/keys",
            f"{TENANT}/role-mapping", f"{TENANT}/rejections", "/v1/api-keys", "/v1/audit-events", "/v1/status"},
    "POST": {"/v1/tenants", *(f"{TENANT}/{verb}" for verb in ("activate", "suspend", "resume", "restore", "purge")),
             f"{TENANT}/realms", f"{TENANT}/checks", f"{REALM}/keys/refresh", f"{TENANT}/role-mapping/preview",
             "/v1/issuer-checks", "/v1/tokens/explain", "/v1/api-keys"},
    "PUT": {TENANT, f"{TENANT}/role-mapping"},
    "PATCH": {TENANT, REALM},
    "DELETE": {TENANT, REALM, "/v1/api-keys/{key_id}"},
}  # fmt: skip
WRITES = {
    "/v1/tenants/{ref}/role-mapping/preview": "tenants:read",
    "/v1/tokens/explain": "tenants:read",
    "/v1/api-keys": "keys:write",
    "/v1/api-keys/{key_id}": "keys:write",
    f"{REALM}/keys/refresh": "keys:write",
}


def routes() -> Iterator[tuple[str, str, Any, Any]]:
    for context in iter_route_contexts(create_admin_app().routes):
        for method in context.methods or ():
            if context.path not in OPEN:
                yield method, context.path, context.original_route, context.dependant


def calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)


def test_every_route_of_the_contract_is_there_and_no_other() -> None:
    found: dict[str, set[str]] = {}
    for method, path, _, _ in routes():
        found.setdefault(method, set()).add(path)
    assert found == KNOWN


def test_every_route_asks_for_a_permission_and_the_writing_ones_for_more_than_reading() -> None:
    for method, path, _, dependant in routes():
        asked = list(calls(dependant))
        scopes = [call.scope for call in asked if isinstance(call, Permission)]
        assert len(scopes) == 1, f"{method} {path} is not guarded"
        assert current_admin in asked
        assert scopes[0] in SCOPES
        if method != "GET":
            assert scopes[0] == WRITES.get(path, "tenants:write"), f"{method} {path}"


def test_every_route_takes_part_in_idempotency() -> None:
    assert {type(route).__mro__.index(AdminRoute) >= 0 for _, _, route, _ in routes()} == {True}
    assert all(isinstance(route, APIRoute) for _, _, route, _ in routes())


@pytest.mark.parametrize("path", ["/tenants", "/tenants/acme", "/status", "/audit-events", "/api-keys"])
async def test_without_credentials_there_is_a_challenge_and_no_error(empty_api: ApiClient, path: str) -> None:
    answer = await empty_api.get(f"/admin/v1{path}")
    assert said(answer) == (401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tenants-api"'
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "key",
    [
        ADMIN_KEY[:-1],
        ADMIN_KEY + "x",
        ADMIN_KEY.upper(),
        "x" * len(ADMIN_KEY),
        "tak_000000000000_" + "A" * 43,
        "tak_",
        "tak__",
        "tak_' or 1=1 --_x".replace(" ", ""),
        "a.b.c",
        "null",
    ],
)
async def test_wrong_key_is_refused_like_any_token(empty_api: ApiClient, key: str) -> None:
    answer = await empty_api.get("/admin/v1/tenants", headers=bearer(key))
    assert said(answer) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert key not in answer.text


async def test_key_with_bytes_beyond_ascii_is_refused_and_breaks_nothing(empty_api: ApiClient) -> None:
    answer = await empty_api.get(
        "/admin/v1/tenants", headers={"Authorization": "Bearer clé-".encode("latin-1") + b"\xff" * 40}
    )
    assert said(answer) == (401, "invalid_token")


async def test_two_authorization_headers_are_malformed(empty_api: ApiClient) -> None:
    header = ("Authorization", f"Bearer {ADMIN_KEY}")
    assert said(await empty_api.get("/admin/v1/tenants", headers=[header, header])) == (400, "invalid_request")


async def test_without_a_bootstrap_key_no_empty_key_is_one(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms, admin_api_key="") as api:
        assert said(await api.get("/admin/v1/tenants", headers=bearer(ADMIN_KEY))) == (401, "invalid_token")
        assert (await api.get("/admin/v1/tenants", headers={"Authorization": "Bearer "})).status_code in (400, 401)


@pytest.mark.parametrize("claims", [{}, {"realm_access": {"roles": ["platform-admin"]}}])
async def test_token_of_a_tenant_opens_nothing_whatever_its_roles(api: ApiClient, claims: dict[str, Any]) -> None:
    await onboard(api, "acme")
    token = api.server.realm("acme").mint(username="carol", claims=claims)
    assert (await api.me(token)).status_code == 200
    for method, path in (("GET", "/tenants"), ("POST", "/tenants/acme/suspend"), ("GET", "/status")):
        assert said(await api.request(method, f"/admin/v1{path}", headers=bearer(token))) == (401, "invalid_token")


@pytest.fixture
async def platform(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    issuer = realms.realm("platform").issuer
    async with running_app(tmp_path, realms, platform_issuer=issuer, platform_client_id=CLIENT_ID) as client:
        yield client


def platform_token(api: ApiClient, *roles: str) -> str:
    return api.server.realm("platform").mint(claims={"realm_access": {"roles": list(roles)}})


async def test_platform_admin_may_do_everything_and_the_trail_names_the_person(platform: ApiClient) -> None:
    headers = bearer(platform_token(platform, "platform-admin"))
    body = {"slug": "acme", "name": "Acme", "realms": [], "activate": "never"}
    assert (await platform.post("/admin/v1/tenants", json=body, headers=headers)).status_code == 201
    events = (await platform.get("/admin/v1/audit-events", headers=headers)).json()["data"]
    issuer = platform.server.realm("platform").issuer
    assert events[0]["actor"]["type"] == "platform_user"
    assert events[0]["actor"]["id"].startswith(f"{issuer}#")


async def test_platform_user_without_the_role_is_refused_by_name(platform: ApiClient) -> None:
    answer = await platform.get("/admin/v1/tenants", headers=bearer(platform_token(platform, "admin")))
    assert said(answer) == (403, "insufficient_role")
    assert answer.json()["required_role"] == "platform-admin"


async def test_platform_token_is_worth_nothing_on_the_tenant_plane(platform: ApiClient) -> None:
    assert said(await platform.me(platform_token(platform, "platform-admin"))) == (401, "invalid_token")


async def test_expired_platform_token_says_so(platform: ApiClient) -> None:
    token = platform.server.realm("platform").mint(
        now=1_700_000_000, claims={"realm_access": {"roles": ["platform-admin"]}}
    )
    assert said(await platform.get("/admin/v1/tenants", headers=bearer(token))) == (401, "token_expired")


async def test_platform_realm_can_never_be_a_tenants(platform: ApiClient) -> None:
    issuer = platform.server.realm("platform").issuer
    mine = {"issuer": issuer, "client_id": CLIENT_ID}
    tenant = await onboard(platform, "acme")
    path = f"/tenants/acme/realms/{tenant['realms'][0]['id']}"
    version = (await platform.admin("GET", path)).headers["ETag"]
    tries = [
        await platform.admin("POST", "/tenants", json={"slug": "evil", "name": "Evil", "realms": [mine]}),
        await platform.admin("POST", "/tenants/acme/realms", json=mine),
        await platform.admin("PATCH", path, json={"issuer": issuer}, headers={"If-Match": version}),
        await platform.admin("PUT", "/tenants/acme", json={"name": "Acme", "realms": [mine]}),
        await platform.admin("PUT", "/tenants/evil", json={"name": "Evil", "realms": [mine]}),
    ]
    assert [said(answer) for answer in tries] == [(409, "issuer_taken")] * len(tries)
