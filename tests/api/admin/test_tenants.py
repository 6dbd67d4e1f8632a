"""Tenants over HTTP: their whole life, conditions on versions, upserts and lists."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.admin.bodies import etag, pointers, said, slugs, tenant_body
from tests.support.stack import CLIENT_ID, ApiClient, bearer, onboard


async def test_whole_life_of_a_tenant(api: ApiClient) -> None:
    token = api.server.realm("acme").mint()
    assert (await api.me(token)).status_code == 401

    created = await api.admin("POST", "/tenants", json=tenant_body(api, external_id="crm-1", metadata={"plan": "gold"}))
    assert created.status_code == 201, created.text
    tenant = created.json()
    assert created.headers["Location"] == f"/admin/v1/tenants/{tenant['id']}"
    assert created.headers["ETag"] == f'"{tenant["version"]}"'
    assert created.headers["Cache-Control"] == "no-store"
    assert (tenant["state"], tenant["health"], tenant["external_id"]) == ("active", "healthy", "crm-1")
    assert tenant["conditions"][-1]["type"] == "Ready"
    assert tenant["created_at"].endswith("Z")
    assert (await api.me(token)).json()["tenant"] == {"id": tenant["id"], "slug": "acme", "name": "Acme"}

    async def move(verb: str, status: int, state: str) -> None:
        answer = await api.admin("POST", f"/tenants/acme/{verb}", json={"reason": "a test"})
        assert (answer.status_code, answer.json()["state"]) == (200, state), answer.text
        assert (await api.me(token)).status_code == status

    await move("suspend", 403, "suspended")
    await move("resume", 200, "active")
    deleted = await api.admin("DELETE", "/tenants/acme", headers=await etag(api, "/tenants/acme"))
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.me(token)).status_code == 401
    assert said(await api.admin("POST", "/tenants", json=tenant_body(api, "other", realm="acme"))) == (
        409,
        "issuer_taken",
    )
    await move("restore", 403, "suspended")
    await move("resume", 200, "active")
    await api.admin("DELETE", "/tenants/acme", headers=await etag(api, "/tenants/acme"))
    purged = await api.admin("POST", "/tenants/acme/purge")
    assert (purged.status_code, purged.json()["id"]) == (200, tenant["id"])
    assert said(await api.admin("GET", "/tenants/acme")) == (404, "tenant_not_found")
    again = await onboard(api, "acme")
    assert again["id"] != tenant["id"]


async def test_state_that_does_not_allow_it_lists_what_it_allows(api: ApiClient) -> None:
    await onboard(api, "acme")
    answer = await api.admin("POST", "/tenants/acme/resume")
    assert said(answer) == (409, "invalid_state_transition")
    assert answer.json()["allowed"] == ["delete", "suspend"]


async def test_failed_check_leaves_a_draft_that_activate_takes_on(api: ApiClient) -> None:
    api.server.realm("acme").faults.down = True
    created = await api.admin("POST", "/tenants", json=tenant_body(api))
    assert (created.status_code, created.json()["state"], created.json()["health"]) == (201, "draft", "failing")
    failed = {one["type"]: one["reason"] for one in created.json()["conditions"] if one["status"] == "False"}
    assert failed["RealmReachable"] == "HttpStatus"
    refused = await api.admin("POST", "/tenants/acme/activate")
    assert said(refused) == (422, "realm_not_ready")
    assert refused.json()["report"]["realms"][0]["conditions"]

    api.server.realm("acme").faults.clear()
    checks = await api.admin("POST", "/tenants/acme/checks")
    assert (checks.status_code, checks.json()["ready"]) == (200, True)
    assert (await api.admin("GET", "/tenants/acme/checks")).json() == checks.json()
    assert (await api.admin("GET", "/tenants/acme")).json()["state"] == "draft"
    activated = await api.admin("POST", "/tenants/acme/activate", json={"reason": "cured"})
    assert (activated.status_code, activated.json()["state"]) == (200, "active")
    assert (await api.me(api.server.realm("acme").mint())).status_code == 200


async def test_activation_now_of_a_failing_realm_stores_nothing(api: ApiClient) -> None:
    api.server.realm("acme").faults.empty_keys = True
    answer = await api.admin("POST", "/tenants", json=tenant_body(api, activate="now"))
    assert said(answer) == (422, "realm_not_ready")
    assert await slugs(api) == []
    assert (await api.admin("GET", "/audit-events")).json()["data"] == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_change_without_if_match_is_refused_and_with_an_old_or_weak_one_too(api: ApiClient, method: str) -> None:
    await onboard(api, "acme")
    body = {"json": {"name": "New"}} if method == "PATCH" else {}
    current = (await etag(api, "/tenants/acme"))["If-Match"]
    assert said(await api.admin(method, "/tenants/acme", **body)) == (428, "if_match_required")
    for stale in ('"0"', f"W/{current}", current.strip('"'), '"99999999999999999999999"', '"x"', ""):
        answer = await api.admin(method, "/tenants/acme", headers={"If-Match": stale}, **body)
        assert said(answer) == (412, "etag_mismatch"), stale
    assert (await api.admin("GET", "/tenants/acme")).json()["name"] == "Acme"


async def test_of_two_writers_with_the_same_version_one_is_told_so(api: ApiClient) -> None:
    await onboard(api, "acme")
    version = await etag(api, "/tenants/acme")
    answers = await asyncio.gather(
        *(api.admin("PATCH", "/tenants/acme", json={"name": f"Name {n}"}, headers=version) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    winner = next(answer.json()["name"] for answer in answers if answer.status_code == 200)
    assert (await api.admin("GET", "/tenants/acme")).json()["name"] == winner


async def test_of_fifty_simultaneous_creates_of_one_issuer_exactly_one_wins(api: ApiClient) -> None:
    answers = await asyncio.gather(
        *(api.admin("POST", "/tenants", json=tenant_body(api, f"acme-{n}", realm="acme")) for n in range(50))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [409] * 49
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"issuer_taken"}
    assert len(await slugs(api)) == 1


async def test_suspension_is_not_lost_in_a_race_with_an_edit(api: ApiClient) -> None:
    await onboard(api, "acme")
    version = await etag(api, "/tenants/acme")
    edits = (api.admin("PATCH", "/tenants/acme", json={"name": f"N{n}"}, headers=version) for n in range(4))
    suspended, *_ = await asyncio.gather(api.admin("POST", "/tenants/acme/suspend"), *edits)
    assert suspended.status_code == 200
    assert (await api.admin("GET", "/tenants/acme")).json()["state"] == "suspended"


async def test_merge_patch_keeps_what_is_left_out_and_empties_what_is_null(api: ApiClient) -> None:
    body = tenant_body(api, external_id="crm-1", metadata={"plan": "gold", "limits": {"users": 5, "items": 9}})
    await api.admin("POST", "/tenants", json=body)
    patch = {"external_id": None, "metadata": {"plan": None, "limits": {"users": 7}, "new": [1]}}
    answer = await api.admin("PATCH", "/tenants/acme", json=patch, headers=await etag(api, "/tenants/acme"))
    assert answer.status_code == 200, answer.text
    tenant = answer.json()
    assert (tenant["name"], tenant["external_id"]) == ("Acme", None)
    assert tenant["metadata"] == {"limits": {"users": 7, "items": 9}, "new": [1]}
    assert answer.headers["ETag"] == f'"{tenant["version"]}"'
    emptied = await api.admin(
        "PATCH", "/tenants/acme", json={"metadata": None}, headers={"If-Match": answer.headers["ETag"]}
    )
    assert emptied.json()["metadata"] == {}


async def test_merge_patch_media_type_is_read(api: ApiClient) -> None:
    await onboard(api, "acme")
    headers = {**await etag(api, "/tenants/acme"), "Content-Type": "application/merge-patch+json"}
    answer = await api.admin("PATCH", "/tenants/acme", content=b'{"name":"New"}', headers=headers)
    assert answer.json()["name"] == "New"


async def test_merged_metadata_stay_bounded(api: ApiClient) -> None:
    await api.admin("POST", "/tenants", json=tenant_body(api, metadata={"a": "x" * 9000}))
    version = await etag(api, "/tenants/acme")
    answer = await api.admin("PATCH", "/tenants/acme", json={"metadata": {"b": "x" * 9000}}, headers=version)
    assert (said(answer), pointers(answer)) == ((422, "validation_failed"), ["/metadata"])


async def test_put_creates_then_replaces_and_realms_that_stay_keep_their_ids(api: ApiClient) -> None:
    body = tenant_body(api)
    created = await api.admin("PUT", "/tenants/acme", json=body, headers={"If-None-Match": "*"})
    assert (created.status_code, created.json()["state"]) == (201, "active"), created.text
    assert created.headers["Location"] == f"/admin/v1/tenants/{created.json()['id']}"
    realm = created.json()["realms"][0]

    assert said(await api.admin("PUT", "/tenants/acme", json=body, headers={"If-None-Match": "*"})) == (
        412,
        "etag_mismatch",
    )
    more = [*body["realms"], {"issuer": api.server.realm("globex").issuer, "client_id": CLIENT_ID}]
    replaced = await api.admin("PUT", "/tenants/acme", json={**body, "name": "Acme 2", "realms": more})
    assert (replaced.status_code, replaced.json()["name"]) == (200, "Acme 2")
    assert realm["id"] in [one["id"] for one in replaced.json()["realms"]]
    assert replaced.json()["health"] == "healthy", "the new realm was checked"
    assert (await api.me(api.server.realm("globex").mint())).json()["tenant"]["slug"] == "acme"

    back = await api.admin("PUT", "/tenants/acme", json=body, headers={"If-Match": replaced.headers["ETag"]})
    assert [one["id"] for one in back.json()["realms"]] == [realm["id"]]
    assert (await api.me(api.server.realm("globex").mint())).status_code == 401
    stale = await api.admin("PUT", "/tenants/acme", json=body, headers={"If-Match": replaced.headers["ETag"]})
    assert said(stale) == (412, "etag_mismatch")


async def test_put_of_a_draft_goes_on_with_its_onboarding(api: ApiClient) -> None:
    api.server.realm("acme").faults.down = True
    body = tenant_body(api)
    assert (await api.admin("PUT", "/tenants/acme", json=body)).json()["state"] == "draft"
    api.server.realm("acme").faults.clear()
    assert (await api.admin("PUT", "/tenants/acme", json={**body, "activate": "never"})).json()["state"] == "draft"
    again = await api.admin("PUT", "/tenants/acme", json=body)
    assert (again.status_code, again.json()["state"]) == (200, "active")


async def test_put_that_changes_no_realm_asks_no_realm(api: ApiClient) -> None:
    body = tenant_body(api)
    await api.admin("PUT", "/tenants/acme", json=body)
    asked = api.server.realm("acme").requests.total()
    assert (await api.admin("PUT", "/tenants/acme", json={**body, "name": "New"})).status_code == 200
    assert api.server.realm("acme").requests.total() == asked


async def test_put_refuses_what_it_cannot_mean(api: ApiClient) -> None:
    body = tenant_body(api)
    mismatch = await api.admin("PUT", "/tenants/globex", json=body)
    assert (said(mismatch), pointers(mismatch)) == ((422, "validation_failed"), ["/slug"])
    unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert said(await api.admin("PUT", f"/tenants/{unknown}", json=body)) == (404, "tenant_not_found")
    absent = await api.admin("PUT", "/tenants/acme", json=body, headers={"If-Match": '"1"'})
    assert said(absent) == (412, "etag_mismatch")
    assert await slugs(api) == []

    tenant = await onboard(api, "acme")
    renamed = await api.admin("PUT", f"/tenants/{tenant['id']}", json={**body, "slug": "acme-2"})
    assert (renamed.status_code, renamed.json()["slug"]) == (200, "acme-2")
    await api.admin("DELETE", "/tenants/acme-2", headers=await etag(api, "/tenants/acme-2"))
    deleted = await api.admin("PUT", f"/tenants/{tenant['id']}", json={**body, "slug": "acme-2"})
    assert said(deleted) == (409, "invalid_state_transition")


async def test_list_pages_without_losing_or_repeating_one(api: ApiClient) -> None:
    for n in range(5):
        body = {"slug": f"t{n}", "name": f"T {n}", "realms": [], "activate": "never"}
        assert (await api.admin("POST", "/tenants", json=body)).status_code == 201
    first = (await api.admin("GET", "/tenants", params={"limit": 2})).json()
    second = (await api.admin("GET", "/tenants", params={"limit": 2, "after": first["list_metadata"]["after"]})).json()
    third = (await api.admin("GET", "/tenants", params={"limit": 2, "after": second["list_metadata"]["after"]})).json()
    assert [tenant["slug"] for page in (first, second, third) for tenant in page["data"]] == [f"t{n}" for n in range(5)]
    assert third["list_metadata"]["after"] is None
    back = (await api.admin("GET", "/tenants", params={"limit": 2, "before": third["list_metadata"]["before"]})).json()
    assert back["data"] == second["data"]


async def test_list_filters(api: ApiClient) -> None:
    await api.admin("POST", "/tenants", json=tenant_body(api, external_id="crm-1"))
    api.server.realm("globex").faults.down = True
    await api.admin("POST", "/tenants", json=tenant_body(api, "globex"))
    assert await slugs(api, state="draft") == ["globex"]
    assert await slugs(api, health="failing") == ["globex"]
    assert await slugs(api, issuer=api.server.realm("acme").issuer) == ["acme"]
    assert await slugs(api, external_id="crm-1") == ["acme"]
    assert await slugs(api, q="LOB") == ["globex"]
    assert await slugs(api, q="%") == []
    assert await slugs(api, state="active", q="glob") == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=1e9", "limit=-1", "after=x", "after=%00", "after=a&before=b", "state=gone",
     "health=fine"],
)  # fmt: skip
async def test_list_refuses_a_query_that_it_cannot_read(empty_api: ApiClient, query: str) -> None:
    assert said(await empty_api.admin("GET", f"/tenants?{query}")) == (422, "validation_failed")


@pytest.mark.parametrize(
    "ref", ["nobody", "01890a5d-ac96-774b-bcce-b302099a8057", "No-Body", "a%00b", "%F0%9F%98%80", "..;", "x" * 90]
)
async def test_tenant_that_is_not_there_is_not_found(empty_api: ApiClient, ref: str) -> None:
    for method, path in (("GET", ""), ("POST", "/suspend"), ("GET", "/realms"), ("GET", "/checks")):
        assert said(await empty_api.admin(method, f"/tenants/{ref}{path}")) == (404, "tenant_not_found")


async def test_tenant_is_served_by_id_and_by_slug_alike(api: ApiClient) -> None:
    tenant = await onboard(api, "acme")
    by_id = await api.admin("GET", f"/tenants/{tenant['id']}")
    assert by_id.json() == (await api.admin("GET", "/tenants/acme")).json()
    assert (await api.get("/admin/v1/tenants/acme", headers=bearer("x"))).status_code == 401
