"""Probes, metrics and browsers from elsewhere."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.support.stack import ApiClient, bearer, onboard, running_app, until

CHECKS = {"database", "migrations", "registry", "feed"}


async def test_readyz_lists_its_parts_and_each_answers_alone(client: ApiClient) -> None:
    answer = await until(200, lambda: client.get("/readyz"))
    assert answer.json() == {"ready": True, "checks": dict.fromkeys(CHECKS, True)}
    lines = (await client.get("/readyz?verbose")).text.splitlines()
    assert {line.removeprefix("[+]").removesuffix(" ok") for line in lines if line[0] == "["} == CHECKS
    for check in CHECKS:
        assert ((await client.get(f"/readyz/{check}")).text) == "ok"
    assert (await client.get("/readyz/nothing")).json()["code"] == "not_found"
    assert (await client.get("/livez")).text == "ok"


async def test_realm_that_is_down_leaves_the_api_ready(client: ApiClient) -> None:
    realm = client.server.realm("globex")
    realm.faults.down = True
    assert (await until(200, lambda: client.get("/readyz"))).json()["ready"] is True
    realm.faults.clear()


async def test_database_without_its_tables_fails_readyz_and_writes_but_known_tokens_are_served(
    client: ApiClient, tmp_path: Path
) -> None:
    async with running_app(tmp_path, client.server) as api:
        await onboard(api, "acme")
        await until(200, lambda: api.get("/readyz"))
        token = client.server.realm("acme").mint()
        await asyncio.to_thread(_drop, tmp_path / "tenants.db", "alembic_version", "registry_version", "items")
        failed = await until(503, lambda: api.get("/readyz"))
        assert (failed.json()["ready"], failed.json()["checks"]["migrations"]) == (False, False)
        assert (await api.get("/readyz?verbose")).text.splitlines()[-1] == "not ready"
        assert (await api.get("/readyz/migrations")).status_code == 503
        assert (await api.get("/livez")).status_code == 200
        assert (await api.me(token)).status_code == 200
        write = await api.post("/v1/items", json={"title": "x"}, headers=bearer(token))
        assert (write.status_code, write.json()["code"]) == (503, "registry_unavailable")
        assert "items" not in write.text


def _drop(path: Path, *tables: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for table in tables:
            connection.execute(f"drop table {table}")
    connection.close()


async def test_version_lag_and_state_of_the_feed_are_shown(client: ApiClient) -> None:
    version = client.app.state.services.replica.version
    lines = (await client.get("/readyz?verbose")).text.splitlines()
    shown = dict(part.split("=") for line in lines if line.startswith("registry ") for part in line.split()[1:])
    assert (shown["version"], shown["feed"]) == (str(version), "polling")
    assert 0 <= float(shown["lag"].removesuffix("s")) < 5
    metrics = (await client.get("/metrics")).text.splitlines()
    assert f"tenants_registry_version {float(version)}" in metrics
    assert "tenants_registry_listening 0.0" in metrics


async def test_metrics_count_tenants_and_realms_by_state_and_health(client: ApiClient, tmp_path: Path) -> None:
    async with running_app(tmp_path, client.server) as api:
        await onboard(api, "acme")
        await onboard(api, "globex")
        await api.admin("POST", "/tenants/globex/suspend")
        before = (await api.get("/metrics")).text
        assert 'tenants_tenants{health="healthy",state="active"} 1.0' in before
        assert 'tenants_tenants{health="healthy",state="suspended"} 1.0' in before
        assert 'tenants_jwks_realms{health="healthy",source="live"} 2.0' in before
        realm = (await api.admin("GET", "/tenants/globex/realms")).json()["data"][0]["id"]
        client.server.realm("globex").faults.down = True
        assert (await api.admin("POST", f"/tenants/globex/realms/{realm}/keys/refresh")).status_code >= 500
        client.server.realm("globex").faults.clear()
        after = (await api.get("/metrics")).text
        assert 'tenants_tenants{health="degraded",state="suspended"} 1.0' in after
        assert 'tenants_jwks_realms{health="degraded",source="live"} 1.0' in after
        assert "tenants_verify_duration_seconds_count 0.0" in after


async def test_metrics_count_without_naming_tenants(client: ApiClient) -> None:
    realm = client.server.realm("acme")
    await client.me(realm.mint())
    await client.me("broken")
    await client.get("/v1/items/019a0000-0000-7000-8000-000000000000", headers=bearer(realm.mint()))
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "/v1/items/{item_id}" in answer.text
    for private in ("acme", "globex", realm.issuer, "019a0000"):
        assert private not in answer.text


async def test_metrics_on_a_port_of_their_own_are_not_on_the_main_one(client: ApiClient, tmp_path: Path) -> None:
    async with running_app(tmp_path, client.server, metrics_port=9464) as api:
        assert (await api.get("/metrics")).status_code == 404


async def test_browsers_from_elsewhere_are_not_allowed_by_default(client: ApiClient) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    for answer in (await client.get("/public", headers=headers), await client.options("/v1/me", headers=headers)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_only_the_exact_origin_that_is_set_is_allowed(client: ApiClient, tmp_path: Path) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    async with running_app(tmp_path, client.server, cors_origins=("https://app.example",)) as api:
        allowed = await api.options("/v1/me", headers={"Origin": "https://app.example", **asked})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in allowed.headers
        for origin in ("https://app.example.evil", "http://app.example", "https://xapp.example", "null"):
            refused = await api.get("/public", headers={"Origin": origin, **asked})
            assert "access-control-allow-origin" not in refused.headers, origin
        problem = await api.get("/v1/me", headers={"Origin": "https://app.example"})
        assert problem.headers["Access-Control-Allow-Origin"] == "https://app.example", "a page must see its 401"


@pytest.mark.parametrize(
    "path", ["/", "/public", "/livez", "/readyz", "/problems/not_found", "/openapi.json", "/admin/openapi.json"]
)
async def test_head_answers_like_get_without_the_content(client: ApiClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_head_asks_for_a_token_where_get_does(client: ApiClient) -> None:
    assert (await client.head("/v1/me")).status_code == 401
    assert (await client.head("/v1/me", headers=bearer(client.server.realm("acme").mint()))).status_code == 200
    assert (await client.head("/t/acme/login")).status_code == 405
    assert 'method="HEAD",route="/v1/me"' in (await client.get("/metrics")).text
