"""`/authz` within the whole API, as a proxy meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.forward_auth.endpoint import KEY_WAIT_SECONDS
from tenants_api.forward_auth.identity import IDENTITY_HEADERS
from tests.support.stack import ApiClient, bearer, forget_keys, onboard, running_app, until


def token(client: ApiClient, user: str = "alice", *, realm: str = "acme", **claims: Any) -> str:
    made: str = client.server.realm(realm).mint(username=user, claims=claims)
    return made


async def test_good_token_passes_with_every_identity_header(client: ApiClient) -> None:
    answer = await client.get("/authz", headers=bearer(token(client)))
    me = (await client.me(token(client))).json()

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-tenant-id"] == me["tenant"]["id"]
    assert answer.headers["x-tenant-slug"] == "acme"
    assert answer.headers["x-tenant-roles"] == "editor"
    assert answer.headers["x-auth-request-user"] == me["subject"]
    assert answer.headers["x-auth-request-preferred-username"] == "alice"
    assert answer.headers["x-auth-request-email"] == me["email"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/authz", "/authz/", "/authz/orders/7", "/authz/a/b;x", "/authz/%ff"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND", "BREW"])
async def test_method_and_path_change_nothing(client: ApiClient, method: str, path: str) -> None:
    good = await client.request(method, path, headers=bearer(token(client)))
    none = await client.request(method, path)
    assert (good.status_code, good.headers["x-tenant-slug"]) == (200, "acme")
    assert none.status_code == 401
    assert not set(IDENTITY_HEADERS) & {name.title() for name in none.headers}


async def test_preflight_is_no_pass(realms: DevRealmServer, tmp_path: Path) -> None:
    preflight = {"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}
    async with running_app(tmp_path, realms, cors_origins=("https://app.test",)) as client:
        assert (await client.options("/public", headers=preflight)).status_code == 200
        assert (await client.options("/authz", headers=preflight)).status_code == 401


async def test_body_is_never_read(client: ApiClient) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token(client)}".encode()), (b"content-length", b"99999999")]
    scope = {"type": "http", "method": "POST", "path": "/authz", "query_string": b"", "headers": headers}
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("tenant=acme", 200, None),
        ("tenant=globex", 403, "tenant_mismatch"),
        ("tenant=nobody", 403, "tenant_mismatch"),
        ("role=viewer", 200, None),
        ("role=editor", 200, None),
        ("role=admin", 403, "insufficient_role"),
        ("role=root", 400, "invalid_request"),
        ("tenant=acme&role=editor&profile=nginx", 200, None),
        ("tenant=acme&tenant=acme", 400, "invalid_request"),
        ("tennant=acme", 400, "invalid_request"),
        ("profile=envoy&tenant=acme&original=/orders?tenant=globex&access_token=x", 200, None),
        ("profile=envoy&tenant=globex&original=/orders?tenant=acme", 403, "tenant_mismatch"),
    ],
)
async def test_configured_query_decides(client: ApiClient, query: str, status: int, code: str | None) -> None:
    answer = await client.get(f"/authz?{query}", headers=bearer(token(client)))
    assert answer.status_code == status
    assert (answer.json()["code"] if status != 200 else None) == code
    assert status != 403 or answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("Authorization", "Basic eDp5")], 401),
        ([("Authorization", "Bearer no.token.atall")], 401),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], 400),
        ([("Authorization", f"Bearer {'a' * 9000}")], 400),
    ],
)
async def test_credentials_that_do_not_pass(client: ApiClient, headers: list[tuple[str, str]], status: int) -> None:
    plain = await client.get("/authz", headers=headers)
    nginx = await client.get("/authz?profile=nginx", headers=headers)
    assert plain.status_code == status
    # auth_request makes a 500 of every refusal but these two.
    assert nginx.status_code == (401 if status == 401 else 403)
    assert nginx.headers["x-authz-error"] == plain.json()["code"]
    assert "www-authenticate" in plain.headers


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-Uri": "/public", "X-Original-URI": "/livez", "X-Forwarded-Prefix": "/public"},
        {"X-Forwarded-Method": "OPTIONS", "X-HTTP-Method-Override": "OPTIONS", "X-Original-Method": "OPTIONS"},
        {"Forwarded": "for=127.0.0.1;host=localhost", "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"X-Tenant-Slug": "acme", "X-Auth-Request-User": "root", "X_Tenant_Id": "1"},
    ],
    ids=["uri", "method", "address", "identity"],
)
async def test_headers_beside_authorization_decide_nothing(client: ApiClient, forged: dict[str, str]) -> None:
    assert (await client.get("/authz", headers=forged)).status_code == 401
    wrong = await client.get("/authz?tenant=globex", headers=bearer(token(client)) | forged)
    assert wrong.status_code == 403
    good = await client.get("/authz", headers=bearer(token(client)) | forged)
    assert good.headers.get_list("x-auth-request-preferred-username") == ["alice"]


async def test_names_of_any_script_arrive_as_ascii(client: ApiClient) -> None:
    answer = await client.get(
        "/authz", headers=bearer(token(client, preferred_username="Zoë\r\nX-Tenant-Slug: globex"))
    )
    assert answer.headers["x-auth-request-preferred-username"] == "Zo%C3%AB%0D%0AX-Tenant-Slug:%20globex"
    assert answer.headers.get_list("x-tenant-slug") == ["acme"]


@pytest.mark.parametrize(("name", "email"), [("ü" * 400, "é" * 350), ("a" * 4200, "a@acme.example")])
async def test_identity_that_does_not_fit_is_refused(client: ApiClient, name: str, email: str) -> None:
    huge = token(client, preferred_username=name, email=email)
    answer = await client.get("/authz?profile=nginx", headers=bearer(huge))
    assert (answer.status_code, answer.headers["x-authz-error"]) == (403, "identity_too_large")
    assert (await client.me(huge)).status_code == 200


async def test_suspended_tenant_does_not_pass(realms: DevRealmServer, tmp_path: Path) -> None:
    async with running_app(tmp_path, realms) as client:
        tenant = await onboard(client, "acme")
        assert (await client.get("/authz", headers=bearer(token(client)))).status_code == 200
        await client.admin("POST", f"/tenants/{tenant['id']}/suspend", json={})
        answer = await client.get("/authz", headers=bearer(token(client)))
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")


async def test_route_is_counted_under_one_name(client: ApiClient) -> None:
    await client.request("BREW", "/authz/secret-path")
    scrape = (await client.get("/metrics")).text
    assert 'tenants_http_requests_total{method="other",route="/authz",status="401"}' in scrape
    assert "secret-path" not in scrape


async def test_realm_that_hangs_costs_no_proxy_more_than_its_patience(realms: DevRealmServer, tmp_path: Path) -> None:
    realm = realms.realm("acme")
    async with running_app(tmp_path, realms) as client:
        await onboard(client, "acme")
    forget_keys(tmp_path)
    assert KEY_WAIT_SECONDS < 0.2  # Envoy's own
    fetched = realm.requests["certs"]
    async with running_app(tmp_path, realms, realm_timeout=30) as client:
        headers = bearer(token(client))
        realm.faults.slow_seconds = 5  # that a busy machine does not need for the two answers
        try:
            plain = await client.get("/authz", headers=headers)
            nginx = await client.get("/authz?profile=nginx", headers=headers)
            assert (plain.status_code, plain.json()["code"]) == (503, "keys_unavailable")
            assert plain.headers["retry-after"] == "1"
            assert (nginx.status_code, nginx.headers["x-authz-error"]) == (403, "keys_unavailable")
            # Nobody asks now: the fetch goes on by itself.
            passed = await until(200, lambda: client.get("/authz", headers=headers))
            assert realm.requests["certs"] == fetched + 1
        finally:
            realm.faults.clear()
    assert passed.headers["x-tenant-slug"] == "acme"
