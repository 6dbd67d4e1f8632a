"""The admin plane without its database, and when something of ours breaks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tenants_api.web.admin_boundary import ExceptionBoundary
from tests.api.admin.bodies import said, tenant_body
from tests.support.stack import ApiClient, bearer, onboard

TABLES = ("idempotency_keys", "admin_api_keys", "audit_events", "role_rules", "realm_conditions", "realm_keys")


def destroy(path: Path) -> None:
    """Take the registry's tables away, as an operator does who points the API at another database."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("pragma foreign_keys = off")
        for table in (*TABLES, "realms", "tenants", "registry_version", "alembic_version"):
            connection.execute(f"drop table {table}")
    connection.close()


async def test_without_the_registry_writes_are_503_and_known_tokens_go_on(api: ApiClient, tmp_path: Path) -> None:
    await onboard(api, "acme")
    made = (await api.admin("POST", "/api-keys", json={"name": "x", "scopes": ["tenants:read"]})).json()["key"]
    destroy(tmp_path / "tenants.db")
    answers = [
        await api.admin("GET", "/tenants"),
        await api.admin("POST", "/tenants", json=tenant_body(api, "globex")),
        await api.admin("POST", "/tenants", json=tenant_body(api, "globex"), headers={"Idempotency-Key": "k"}),
        await api.admin("DELETE", "/tenants/acme", headers={"If-Match": '"1"'}),
        await api.admin("GET", "/audit-events"),
        await api.get("/admin/v1/tenants", headers=bearer(made)),
    ]
    assert [said(answer) for answer in answers] == [(503, "registry_unavailable")] * len(answers)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert "tenants-api doctor" in (await api.get("/problems/registry_unavailable")).json()["cure"]
    assert (await api.me(api.server.realm("acme").mint())).status_code == 200
    assert (await api.admin("GET", "/status")).status_code == 200


async def test_mistake_of_ours_is_a_problem_without_its_text() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("secret detail")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(ExceptionBoundary(broken)), base_url="http://api.test"
    ) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_mistake_after_the_answer_began_is_not_answered_twice() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError("too late")

    transport = httpx.ASGITransport(ExceptionBoundary(broken))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/")
