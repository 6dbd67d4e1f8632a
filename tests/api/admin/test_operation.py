"""API keys and their scopes, the audit trail, explanations, the status, and the contract as a document."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.admin.bodies import etag, pointers, said, tenant_body
from tests.support.stack import ApiClient, bearer, onboard


async def new_key(api: ApiClient, *scopes: str, **more: Any) -> dict[str, Any]:
    answer = await api.admin("POST", "/api-keys", json={"name": "a key", "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_key_may_do_what_its_scopes_say_until_it_is_revoked(api: ApiClient) -> None:
    made = await new_key(api, "tenants:read")
    headers = bearer(made["key"])
    assert made["key"].startswith(f"tak_{made['key_id']}_")
    assert (await api.get("/admin/v1/tenants", headers=headers)).status_code == 200
    for method, path, needed in (
        ("POST", "/tenants", "tenants:write"),
        ("GET", "/audit-events", "audit:read"),
        ("GET", "/api-keys", "keys:write"),
        ("POST", "/issuer-checks", "tenants:write"),
    ):
        answer = await api.request(method, f"/admin/v1{path}", headers=headers, json={} if method == "POST" else None)
        assert said(answer) == (403, "insufficient_role")
        assert answer.json()["required_role"] == needed
        assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]

    listed = (await api.admin("GET", "/api-keys")).json()["data"]
    assert [(key["id"], key["revoked_at"]) for key in listed] == [(made["id"], None)]
    assert "key" not in listed[0]
    assert "digest" not in listed[0]
    assert (await api.admin("DELETE", f"/api-keys/{made['key_id']}")).status_code == 204
    assert said(await api.get("/admin/v1/tenants", headers=headers)) == (401, "invalid_token")
    assert (await api.admin("GET", "/api-keys")).json()["data"][0]["revoked_at"] is not None
    assert said(await api.admin("DELETE", "/api-keys/nobody")) == (404, "not_found")


async def test_key_is_replaced_without_a_moment_in_which_none_works(api: ApiClient) -> None:
    """The new one works before the old one ends, and its end is the old one's alone."""
    old = await new_key(api, "tenants:read")
    new = await new_key(api, "tenants:read")
    statuses = {one: [] for one in (old["key"], new["key"])}

    async def ask() -> None:
        for key, found in statuses.items():
            found.append((await api.get("/admin/v1/tenants", headers=bearer(key))).status_code)

    await ask()
    ending = asyncio.create_task(api.admin("DELETE", f"/api-keys/{old['key_id']}"))
    for _ in range(5):
        await ask()
    assert (await ending).status_code == 204
    await ask()
    assert statuses[new["key"]] == [200] * 7
    assert (statuses[old["key"]][0], statuses[old["key"]][-1]) == (200, 401)


async def test_key_can_revoke_no_key_that_may_do_more(api: ApiClient) -> None:
    maker = await new_key(api, "keys:write", "tenants:read")
    stronger, equal = await new_key(api, "tenants:write"), await new_key(api, "keys:write", "tenants:read")
    for name in (stronger["key_id"], stronger["id"]):
        refused = await api.delete(f"/admin/v1/api-keys/{name}", headers=bearer(maker["key"]))
        assert said(refused) == (403, "insufficient_role")
    assert (await api.get("/admin/v1/api-keys", headers=bearer(stronger["key"]))).status_code == 403, "it works still"
    for key in (equal, maker):
        answer = await api.delete(f"/admin/v1/api-keys/{key['key_id']}", headers=bearer(maker["key"]))
        assert answer.status_code == 204
    assert (await api.admin("DELETE", f"/api-keys/{stronger['key_id']}")).status_code == 204


async def test_key_can_make_no_key_that_may_do_more(api: ApiClient) -> None:
    maker = bearer((await new_key(api, "keys:write", "tenants:read"))["key"])
    body = {"name": "more", "scopes": ["tenants:read", "tenants:write"]}
    answer = await api.post("/admin/v1/api-keys", json=body, headers=maker)
    assert (said(answer), answer.json()["required_role"]) == ((403, "insufficient_role"), "tenants:write")
    body["scopes"] = ["tenants:read"]
    assert (await api.post("/admin/v1/api-keys", json=body, headers=maker)).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x"}, "/scopes"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["everything"]}, "/scopes/0"),
        ({"name": "", "scopes": ["audit:read"]}, "/name"),
        ({"name": "x", "scopes": ["audit:read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "scopes": ["audit:read"], "expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
        ({"name": "x", "scopes": ["audit:read"], "expires_at": 4102444800}, "/expires_at"),
        ({"name": "x", "scopes": ["audit:read"], "key": "tak_mine"}, "/key"),
    ],
)
async def test_key_that_makes_no_sense_is_refused(empty_api: ApiClient, body: dict[str, Any], pointer: str) -> None:
    answer = await empty_api.admin("POST", "/api-keys", json=body)
    assert (said(answer), pointers(answer)) == ((422, "validation_failed"), [pointer])


async def test_key_with_an_expiry_in_the_future_works(api: ApiClient) -> None:
    made = await new_key(api, "tenants:read", expires_at="2099-01-01T01:00:00+01:00")
    assert made["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert (await api.get("/admin/v1/tenants", headers=bearer(made["key"]))).status_code == 200


async def test_trail_tells_who_did_what_when_and_why(api: ApiClient) -> None:
    made = await new_key(api, "tenants:write")
    writer = bearer(made["key"])
    tenant = (await api.post("/admin/v1/tenants", json=tenant_body(api), headers=writer)).json()
    patched = await api.admin("PATCH", "/tenants/acme", json={"name": "New"}, headers=await etag(api, "/tenants/acme"))
    await api.admin(
        "POST", "/tenants/acme/suspend", json={"reason": "unpaid"}, headers={"X-Request-ID": "my-request-1"}
    )
    events = (await api.admin("GET", "/audit-events", params={"target": tenant["id"]})).json()["data"]
    assert [event["action"] for event in events] == [
        "tenant.suspended",
        "tenant.updated",
        "tenant.activated",
        "tenant.created",
    ]
    suspended, updated, _, created = events
    assert suspended["reason"] == "unpaid"
    assert suspended["request_id"] == "my-request-1"
    assert suspended["changes"] == {"before": {"state": "active"}, "after": {"state": "suspended"}}
    assert suspended["target"] == {"type": "tenant", "id": tenant["id"]}
    assert updated["request_id"] == patched.headers["X-Request-ID"]
    assert updated["changes"] == {"before": {"name": "Acme"}, "after": {"name": "New"}}
    assert (created["actor"], suspended["actor"]) == (
        {"type": "api_key", "id": made["id"]},
        {"type": "api_key", "id": "bootstrap"},
    )
    assert made["key"] not in str((await api.admin("GET", "/audit-events")).json())


async def test_trail_filters_and_pages_from_the_newest(api: ApiClient) -> None:
    await onboard(api, "acme")
    await onboard(api, "globex")
    await api.admin("POST", "/tenants/acme/suspend")
    by_action = (await api.admin("GET", "/audit-events", params={"action": "tenant.created"})).json()["data"]
    assert len(by_action) == 2
    assert (await api.admin("GET", "/audit-events", params={"actor": "nobody"})).json()["data"] == []
    everything = (await api.admin("GET", "/audit-events")).json()["data"]
    first = (await api.admin("GET", "/audit-events", params={"limit": 3})).json()
    after = first["list_metadata"]["after"]
    rest = (await api.admin("GET", "/audit-events", params={"after": after})).json()["data"]
    assert first["data"] + rest == everything


async def test_trail_names_tenants_and_begins_at_a_time(api: ApiClient) -> None:
    await onboard(api, "acme")
    await onboard(api, "globex")
    events = (await api.admin("GET", "/audit-events")).json()["data"]
    assert {event["tenant"] for event in events} == {"acme", "globex"}
    middle = events[len(events) // 2]["occurred_at"]
    later = (await api.admin("GET", "/audit-events", params={"since": middle})).json()["data"]
    assert later == [event for event in events if event["occurred_at"] >= middle]
    assert (await api.admin("GET", "/audit-events", params={"since": "2999-01-01T00:00:00Z"})).json()["data"] == []


@pytest.mark.parametrize("since", ["0.5", "1764547200", "2026-12-01", "2026-12-01T08:00:00", "yesterday"])
async def test_time_that_is_not_rfc_3339_is_refused(api: ApiClient, since: str) -> None:
    answer = await api.admin("GET", "/audit-events", params={"since": since})
    assert said(answer) == (422, "validation_failed")


async def test_refused_changes_leave_no_trace_in_the_trail(api: ApiClient) -> None:
    await onboard(api, "acme")
    before = (await api.admin("GET", "/audit-events")).json()
    await api.admin("POST", "/tenants", json=tenant_body(api, "other", realm="acme"))
    await api.admin("PATCH", "/tenants/acme", json={"name": "x"}, headers={"If-Match": '"0"'})
    await api.admin("POST", "/tenants/acme/resume")
    assert (await api.admin("GET", "/audit-events")).json() == before


async def explained(api: ApiClient, token: str) -> dict[str, Any]:
    answer = await api.admin("POST", "/tokens/explain", json={"token": token})
    assert answer.status_code == 200, answer.text
    assert token not in answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_good_token_is_explained_with_tenant_and_roles(api: ApiClient) -> None:
    tenant = await onboard(api, "acme")
    found = await explained(api, api.server.realm("acme").mint(username="carol"))
    assert (found["accepted"], found["reason"], found["roles"]) == (True, "accepted", ["admin"])
    assert found["tenant"] == {"id": tenant["id"], "slug": "acme", "name": "Acme"}
    assert all(step["ok"] for step in found["steps"])


async def test_bad_tokens_are_explained_to_the_step_that_refused_them(api: ApiClient) -> None:
    await onboard(api, "acme")
    realm = api.server.realm("acme")
    good = realm.mint()
    cases = {
        "issuer": api.server.realm("globex").mint(),
        "audience": realm.mint(client="no-audience"),
        "type": realm.mint(kind="id"),
        "expiry": realm.mint(now=realm.clock() - 7200),
        "signature": f"{good.rpartition('.')[0]}.{api.server.realm('globex').mint().rpartition('.')[2]}",
        "format": "not a token",
    }
    for step, token in cases.items():
        found = await explained(api, token)
        assert found["accepted"] is False
        assert (found["steps"][-1]["step"], found["steps"][-1]["ok"]) == (step, False), found
        assert all(one["ok"] for one in found["steps"][:-1])
        assert found["roles"] == []
    found = await explained(api, cases["audience"])
    assert found["steps"][-1]["expected"] == ["tenants-api"]
    assert found["tenant"]["slug"] == "acme"


async def test_status_shows_the_worker_that_answers(api: ApiClient) -> None:
    before = (await api.admin("GET", "/status")).json()
    await onboard(api, "acme")
    await api.me(api.server.realm("acme").mint())
    after = (await api.admin("GET", "/status")).json()
    assert after["registry"]["version"] > before["registry"]["version"]
    assert after["registry"]["feed_alive"] is True
    assert after["registry"]["feed"] == "polling"
    assert after["registry"]["lag_seconds"] < 5
    assert (after["registry"]["realms"], after["verified_tokens"], after["keys"]["healthy"]) == (1, 1, 1)
    assert after["migration_head"]


async def test_contract_has_an_operation_id_a_guard_and_its_problems_everywhere(api: ApiClient) -> None:
    document = (await api.get("/admin/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) == 31
    assert all(name.isalnum() and name[0].islower() for name in names)
    for operation in operations:
        assert operation["security"]
        assert {"401", "403", "503"} <= set(operation["responses"])
        assert operation["description"]
        refusals = [answer for status, answer in operation["responses"].items() if status >= "400"]
        assert all(list(answer["content"]) == ["application/problem+json"] for answer in refusals)
    for path in document["paths"].values():
        for method in path.keys() & {"post", "put", "patch"}:
            assert {"413", "415", "422"} <= set(path[method]["responses"])
        if "post" in path:
            assert "409" in path["post"]["responses"]
            assert "Idempotency-Key" in [parameter["name"] for parameter in path["post"]["parameters"]]
    assert (await api.get("/admin/docs")).status_code == 200
