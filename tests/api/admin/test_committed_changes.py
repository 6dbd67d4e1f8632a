"""A change that is committed is never answered as failed, and one that is answered as failed left nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.stack import CLIENT_ID, ApiClient, bearer, onboard, running_app

# What fails after the commit: reading the change back, reading for the checks, storing what they found (at once or at
# the commit), storing the answer.
FAULTS = {
    "read-back": ["drop table purged_tenants"],
    "check": ["drop table organization_issuers"],
    "report": ["create trigger broken before insert on realm_conditions begin select raise(abort, 'broken'); end"],
    "commit": [
        "create table broken (id references tenants (id) deferrable initially deferred)",
        "create trigger broken after insert on realm_conditions begin insert into broken values ('nobody'); end",
    ],
    "answer": ["create trigger broken before update on idempotency_keys begin select raise(abort, 'broken'); end"],
}


@pytest.fixture
async def client(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms) as opened:
        await onboard(opened, "globex")
        yield opened


async def break_database(client: ApiClient, fault: str) -> None:
    async with client.app.state.services.database.engine.begin() as connection:
        for statement in FAULTS[fault]:
            await connection.exec_driver_sql(statement)


def body(client: ApiClient, slug: str, **more: Any) -> dict[str, Any]:
    realm = {"issuer": client.server.realm(slug).issuer, "client_id": CLIENT_ID}
    return {"slug": slug, "name": slug.title(), "realms": [realm], **more}


async def stored(client: ApiClient, slug: str) -> dict[str, Any]:
    answer = await client.admin("GET", f"/tenants/{slug}")
    assert answer.status_code == 200, answer.text
    tenant: dict[str, Any] = answer.json()
    return tenant


@pytest.mark.parametrize("activate", ["when_ready", "now", "never"])
@pytest.mark.parametrize("fault", ["read-back", "report", "commit", "answer"])
async def test_creation_that_is_committed_is_answered_as_created(client: ApiClient, fault: str, activate: str) -> None:
    await break_database(client, fault)
    key = {"Idempotency-Key": "once"}
    answer = await client.admin("POST", "/tenants", json=body(client, "acme", activate=activate), headers=key)
    unchecked = fault in ("report", "commit")
    if unchecked and activate == "now":  # one transaction: it fails as a whole
        assert answer.status_code in (500, 503)
        assert (await client.admin("GET", "/tenants/acme")).status_code == 404
        return
    assert answer.status_code == 201, answer.text
    expected = "draft" if activate == "never" or unchecked else "active"
    assert (answer.json()["state"], (await stored(client, "acme"))["state"]) == (expected, expected)
    again = await client.admin("POST", "/tenants", json=body(client, "acme", activate=activate), headers=key)
    if fault == "answer":
        assert (again.status_code, again.json()["code"]) == (409, "idempotency_in_flight")
    else:
        assert (again.status_code, again.json()["id"]) == (201, answer.json()["id"])


@pytest.mark.parametrize("fault", ["read-back", "check", "report", "commit"])
async def test_changes_that_are_committed_are_answered_as_made(client: ApiClient, fault: str) -> None:
    await break_database(client, fault)
    tenant = await stored(client, "globex")
    realm, moved = tenant["realms"][0], client.server.realm("initech").issuer
    match = {"If-Match": f'"{realm["version"]}"'} if "version" in realm else {"If-Match": "*"}
    path = f"/tenants/globex/realms/{realm['id']}"
    answer = await client.admin("PATCH", path, json={"issuer": moved, "realm_url": moved}, headers=match)
    assert (answer.status_code, answer.json()["issuer"]) == (200, moved), answer.text
    added = {"issuer": client.server.realm("acme").issuer, "client_id": CLIENT_ID}
    answer = await client.admin("POST", "/tenants/globex/realms", json=added)
    assert answer.status_code == 201, answer.text
    replaced = body(client, "globex", name="Replaced")
    answer = await client.admin("PUT", "/tenants/globex", json=replaced)
    assert (answer.status_code, answer.json()["name"]) == (200, "Replaced"), answer.text
    assert [one["issuer"] for one in (await stored(client, "globex"))["realms"]] == [replaced["realms"][0]["issuer"]]
    for step in ("suspend", "resume"):
        answer = await client.admin("POST", f"/tenants/globex/{step}", json={})
        assert answer.status_code == 200, answer.text


async def test_put_that_is_not_ready_to_be_activated_now_changes_nothing(client: ApiClient) -> None:
    created = (await client.admin("POST", "/tenants", json=body(client, "acme", activate="never"))).json()
    client.server.realm("acme").faults.down = True
    answer = await client.admin("PUT", "/tenants/acme", json=body(client, "acme", name="Other", activate="now"))
    assert (answer.status_code, answer.json()["code"]) == (422, "realm_not_ready")
    now = await stored(client, "acme")
    assert (now["name"], now["version"], now["state"]) == (created["name"], created["version"], "draft")
    client.server.realm("acme").faults.clear()
    answer = await client.admin("PUT", "/tenants/acme", json=body(client, "acme", name="Other", activate="now"))
    assert (answer.status_code, answer.json()["state"], answer.json()["name"]) == (200, "active", "Other")


async def test_write_for_a_tenant_that_was_purged_a_moment_ago_is_refused_and_never_a_500(client: ApiClient) -> None:
    """Another replica purged it, and this one has not heard of it yet."""
    await onboard(client, "acme")
    token = client.server.realm("acme").mint(username="alice")
    assert (await client.me(token)).status_code == 200
    async with client.app.state.services.database.engine.begin() as connection:
        await connection.exec_driver_sql("delete from tenants where slug = 'acme'")
    answer = await client.post("/v1/items", json={"title": "late"}, headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert (await client.me(client.server.realm("globex").mint())).status_code == 200
