"""The realms of a tenant, their keys, the role mapping and the checks, over HTTP."""

from __future__ import annotations

import pytest

from tests.api.admin.bodies import etag, pointers, said, slugs, tenant_body
from tests.support.stack import CLIENT_ID, ApiClient, onboard

NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


async def test_second_realm_comes_changes_and_goes(api: ApiClient) -> None:
    await onboard(api, "acme")
    token = api.server.realm("globex").mint()
    added = await api.admin(
        "POST", "/tenants/acme/realms", json={"issuer": api.server.realm("globex").issuer, "client_id": CLIENT_ID}
    )
    assert (added.status_code, added.json()["health"]) == (201, "healthy"), added.text
    path = added.headers["Location"].removeprefix("/admin/v1")
    assert (await api.me(token)).json()["tenant"]["slug"] == "acme"
    assert (await api.admin("GET", path)).json() == added.json()

    off = await api.admin("PATCH", path, json={"enabled": False}, headers={"If-Match": added.headers["ETag"]})
    assert (off.status_code, off.json()["enabled"]) == (200, False)
    assert off.headers["ETag"] != added.headers["ETag"]
    assert (await api.me(token)).status_code == 401
    await api.admin("PATCH", path, json={"enabled": True}, headers=await etag(api, path))
    assert (await api.me(token)).status_code == 200

    gone = await api.admin("DELETE", path, headers=await etag(api, path))
    assert gone.status_code == 204
    assert (await api.me(token)).status_code == 401
    assert said(await api.admin("GET", path)) == (404, "realm_not_found")
    assert len((await api.admin("GET", "/tenants/acme/realms")).json()["data"]) == 1
    assert (await onboard(api, "globex"))["state"] == "active", "its issuer is free again"


async def test_realm_of_another_tenant_is_not_found_here(api: ApiClient) -> None:
    await onboard(api, "acme")
    foreign = (await onboard(api, "globex"))["realms"][0]["id"]
    path = f"/tenants/acme/realms/{foreign}"
    star = {"If-Match": "*"}
    tries = [
        await api.admin("GET", path),
        await api.admin("PATCH", path, json={"enabled": False}, headers=star),
        await api.admin("DELETE", path, headers=star),
        await api.admin("GET", f"{path}/keys"),
        await api.admin("POST", f"{path}/keys/refresh"),
        await api.admin("GET", f"/tenants/acme/realms/{NOBODY}"),
    ]
    assert [said(answer) for answer in tries] == [(404, "realm_not_found")] * len(tries)
    assert (await api.me(api.server.realm("globex").mint())).status_code == 200


async def test_change_of_a_realm_needs_its_version(api: ApiClient) -> None:
    realm = (await onboard(api, "acme"))["realms"][0]
    path = f"/tenants/acme/realms/{realm['id']}"
    assert said(await api.admin("PATCH", path, json={"enabled": False})) == (428, "if_match_required")
    assert said(await api.admin("DELETE", path)) == (428, "if_match_required")
    stale = {"If-Match": '"77"'}
    assert said(await api.admin("PATCH", path, json={"enabled": False}, headers=stale)) == (412, "etag_mismatch")
    assert said(await api.admin("DELETE", path, headers=stale)) == (412, "etag_mismatch")
    assert (await api.me(api.server.realm("acme").mint())).status_code == 200


async def test_changed_issuer_takes_the_realm_url_with_it_and_is_checked_again(api: ApiClient) -> None:
    realm = (await onboard(api, "acme"))["realms"][0]
    path = f"/tenants/acme/realms/{realm['id']}"
    issuer = api.server.realm("globex").issuer
    moved = await api.admin("PATCH", path, json={"issuer": issuer}, headers=await etag(api, path))
    assert (moved.json()["issuer"], moved.json()["realm_url"], moved.json()["health"]) == (issuer, issuer, "healthy")
    assert (await api.me(api.server.realm("acme").mint())).status_code == 401
    assert (await api.me(api.server.realm("globex").mint())).json()["tenant"]["slug"] == "acme"

    api.server.realm("globex").faults.empty_keys = True
    failing = await api.admin("PATCH", path, json={"algorithms": ["ES256"]}, headers=await etag(api, path))
    assert (failing.status_code, failing.json()["health"]) == (200, "failing")
    assert (await api.admin("GET", "/tenants/acme")).json()["state"] == "active", "what is observed changes no state"


async def test_changed_client_takes_the_default_audience_with_it_and_null_goes_back_to_it(api: ApiClient) -> None:
    realm = (await onboard(api, "acme", authorized_parties=["web"]))["realms"][0]
    path = f"/tenants/acme/realms/{realm['id']}"
    changed = await api.admin("PATCH", path, json={"client_id": "other"}, headers=await etag(api, path))
    assert changed.json()["audiences"] == ["other"]
    own = await api.admin("PATCH", path, json={"audiences": ["a", "b"]}, headers=await etag(api, path))
    again = await api.admin(
        "PATCH", path, json={"audiences": None, "authorized_parties": None}, headers={"If-Match": own.headers["ETag"]}
    )
    assert (again.json()["audiences"], again.json()["authorized_parties"]) == (["other"], [])


async def test_taken_issuer_is_refused_for_a_realm_too(api: ApiClient) -> None:
    realm = (await onboard(api, "acme"))["realms"][0]
    await onboard(api, "globex")
    taken = {"issuer": api.server.realm("globex").issuer, "client_id": CLIENT_ID}
    path = f"/tenants/acme/realms/{realm['id']}"
    assert said(await api.admin("POST", "/tenants/acme/realms", json=taken)) == (409, "issuer_taken")
    patched = await api.admin("PATCH", path, json={"issuer": taken["issuer"]}, headers=await etag(api, path))
    assert said(patched) == (409, "issuer_taken")
    assert (await api.admin("GET", path)).json() == realm


async def test_health_of_a_tenant_is_that_of_its_worst_enabled_realm(api: ApiClient) -> None:
    await onboard(api, "acme")
    api.server.realm("globex").faults.down = True
    added = await api.admin(
        "POST", "/tenants/acme/realms", json={"issuer": api.server.realm("globex").issuer, "client_id": CLIENT_ID}
    )
    path = added.headers["Location"].removeprefix("/admin/v1")
    tenant = (await api.admin("GET", "/tenants/acme")).json()
    assert (tenant["health"], [realm["health"] for realm in tenant["realms"]]) == ("failing", ["healthy", "failing"])
    await api.admin("PATCH", path, json={"enabled": False}, headers=await etag(api, path))
    assert (await api.admin("GET", "/tenants/acme")).json()["health"] == "healthy"


async def test_keys_are_listed_and_refreshed_once_in_a_while(api: ApiClient) -> None:
    realm = (await onboard(api, "acme"))["realms"][0]
    path = f"/tenants/acme/realms/{realm['id']}/keys"
    kid = api.server.realm("acme").keys.signing().kid
    listed = (await api.admin("GET", path)).json()
    assert ([key["kid"] for key in listed["keys"]], listed["source"]) == ([kid], "live")
    assert (listed["keys"][0]["alg"], listed["keys"][0]["use"]) == ("RS256", "sig")
    assert listed["fetched_at"] < listed["next_refresh"]

    old = api.server.realm("acme").mint()
    new_kid = api.server.realm("acme").rotate(keep_old=False)
    refreshed = await api.admin("POST", f"{path}/refresh")
    assert [key["kid"] for key in refreshed.json()["keys"]] == [new_kid]
    assert (await api.me(old)).status_code == 401
    assert (await api.me(api.server.realm("acme").mint())).status_code == 200
    limited = await api.admin("POST", f"{path}/refresh")
    assert said(limited) == (429, "rate_limited")
    assert 1 <= int(limited.headers["Retry-After"]) <= 5


async def test_refresh_of_an_unreachable_realm_says_so_and_its_tokens_go_on(api: ApiClient) -> None:
    realm = (await onboard(api, "acme"))["realms"][0]
    api.server.realm("acme").faults.down = True
    answer = await api.admin("POST", f"/tenants/acme/realms/{realm['id']}/keys/refresh")
    assert said(answer) == (503, "keys_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await api.me(api.server.realm("acme").mint())).status_code == 200


async def test_role_mapping_counts_for_the_next_request_of_a_known_token(api: ApiClient) -> None:
    await onboard(api, "acme")
    token = api.server.realm("acme").mint(username="bob")
    assert (await api.me(token)).json()["roles"] == ["viewer"]
    rules = [{"from": "realm", "value": "tenant-user", "role": "admin"}]
    answer = await api.admin("PUT", "/tenants/acme/role-mapping", json=rules)
    assert (answer.status_code, answer.json()) == (200, rules)
    assert (await api.me(token)).json()["roles"] == ["admin"]
    assert (await api.admin("GET", "/tenants/acme/role-mapping")).json() == rules
    assert (await api.admin("GET", "/tenants/acme")).json()["role_mapping"] == rules
    stale = await api.admin("PUT", "/tenants/acme/role-mapping", json=[], headers={"If-Match": '"0"'})
    assert said(stale) == (412, "etag_mismatch")
    await api.admin("PUT", "/tenants/acme/role-mapping", json=[], headers={"If-Match": answer.headers["ETag"]})
    assert (await api.me(token)).json()["roles"] == ["viewer"]


@pytest.mark.parametrize(
    "client_id", ["My App", "a,b", "https://sp.example/saml?x=1", 'the "new" one', "Приложение №1", "a:b", "x" * 255]
)
async def test_role_mapping_names_a_client_by_any_id_that_keycloak_allows(api: ApiClient, client_id: str) -> None:
    """A11"""
    for name in ("acme", "globex"):
        await onboard(api, name)
    rules = [{"from": f"client:{client_id}", "value": "clerk", "role": "admin"}]
    answer = await api.admin("PUT", "/tenants/acme/role-mapping", json=rules)
    assert (answer.status_code, answer.json()) == (200, rules)
    access = {client_id: {"roles": ["clerk"]}}
    for name, roles in (("acme", ["admin"]), ("globex", [])):
        token = api.server.realm(name).mint(claims={"resource_access": access})
        assert (await api.me(token)).json()["roles"] == roles


@pytest.mark.parametrize(
    "source",
    ["client:", "client: ", "client: a", "client:a ", "client:a\nb", "client:a\0b", "client:a\x7f",
     "client:" + "x" * 256, "Client:a", "realm ", "realm:x", "clients:a"],
)  # fmt: skip
async def test_role_mapping_refuses_what_is_no_source(api: ApiClient, source: str) -> None:
    """A11"""
    await onboard(api, "acme")
    rules = [{"from": source, "value": "clerk", "role": "admin"}]
    answer = await api.admin("PUT", "/tenants/acme/role-mapping", json=rules)
    assert (said(answer), pointers(answer)) == ((422, "validation_failed"), ["/0/from"])


async def test_role_mapping_refuses_roles_that_the_application_does_not_know(api: ApiClient) -> None:
    await onboard(api, "acme")
    rules = [{"from": "realm", "value": "x", "role": "viewer"}, {"from": "realm", "value": "x", "role": "root"}]
    answer = await api.admin("PUT", "/tenants/acme/role-mapping", json=rules)
    assert (said(answer), pointers(answer)) == ((422, "validation_failed"), ["/1/role"])
    assert (await api.admin("GET", "/tenants/acme/role-mapping")).json() == []


async def test_preview_says_what_the_verifier_would(api: ApiClient) -> None:
    rules = [
        {"from": "realm", "value": "staff", "role": "viewer"},
        {"from": "group", "value": "/chiefs", "role": "admin"},
        {"from": "client:shop", "value": "clerk", "role": "editor"},
        {"from": "scope", "value": "items:write", "role": "editor"},
    ]
    await onboard(api, "acme", role_mapping=rules)

    async def preview(claims: object) -> tuple[list[str], list[object]]:
        answer = await api.admin("POST", "/tenants/acme/role-mapping/preview", json={"claims": claims})
        assert answer.status_code == 200, answer.text
        return answer.json()["roles"], answer.json()["matched"]

    assert await preview({"realm_access": {"roles": ["staff", "other"]}}) == (["viewer"], [rules[0]])
    assert await preview({"groups": ["/chiefs"], "scope": "openid items:write"}) == (
        ["admin", "editor"],
        [rules[1], rules[3]],
    )
    assert await preview({"resource_access": {"other": {"roles": ["clerk"]}}}) == ([], [])
    for odd in ({}, {"groups": "/chiefs"}, {"realm_access": []}, {"scope": 7}, {"resource_access": {"shop": None}}):
        assert await preview(odd) == ([], [])
    refused = await api.admin("POST", "/tenants/acme/role-mapping/preview", json={"claims": []})
    assert (said(refused), pointers(refused)) == ((422, "validation_failed"), ["/claims"])


async def test_preview_without_rules_counts_client_roles_of_the_realm_that_the_claims_name(api: ApiClient) -> None:
    await onboard(api, "acme")
    other = {"issuer": api.server.realm("globex").issuer, "client_id": "other"}
    await api.admin("POST", "/tenants/acme/realms", json=other)
    claims = {"iss": api.server.realm("acme").issuer, "resource_access": {"other": {"roles": ["admin"]}}}
    answer = await api.admin("POST", "/tenants/acme/role-mapping/preview", json={"claims": claims})
    assert answer.json()["roles"] == []
    claims["iss"] = other["issuer"]
    answer = await api.admin("POST", "/tenants/acme/role-mapping/preview", json={"claims": claims})
    assert answer.json()["roles"] == ["admin"]


async def test_issuer_check_reports_and_stores_nothing(api: ApiClient) -> None:
    realm = api.server.realm("acme")
    good = await api.admin(
        "POST",
        "/issuer-checks",
        json={"issuer": realm.issuer, "client_id": CLIENT_ID, "sample_token": realm.mint()},
    )
    assert (good.status_code, good.json()["ready"], good.json()["suggested_issuer"]) == (200, True, None)
    realm.faults.wrong_issuer = "https://elsewhere.example/realms/acme"
    bad = await api.admin("POST", "/issuer-checks", json={"realm_url": realm.issuer})
    assert (bad.status_code, bad.json()["ready"]) == (200, False)
    assert bad.json()["suggested_issuer"] == "https://elsewhere.example/realms/acme"
    assert bad.json()["conditions"][-1]["type"] == "Ready"
    neither = await api.admin("POST", "/issuer-checks", json={"client_id": "x"})
    assert (said(neither), pointers(neither)) == ((422, "validation_failed"), ["/issuer"])
    assert await slugs(api) == []
    assert (await api.admin("GET", "/audit-events")).json()["data"] == []


@pytest.mark.parametrize("issuer", ["http://10.0.0.1/realms/x", "https://169.254.169.254/latest", "ftp://x", "x", "/"])
async def test_issuer_check_of_what_may_not_be_called_is_a_report_too(empty_api: ApiClient, issuer: str) -> None:
    answer = await empty_api.admin("POST", "/issuer-checks", json={"issuer": issuer})
    assert (answer.status_code, answer.json()["ready"]) == (200, False)
    assert answer.json()["conditions"][0]["status"] == "False"


async def test_checks_of_a_tenant_go_over_every_enabled_realm(api: ApiClient) -> None:
    await api.admin("POST", "/tenants", json=tenant_body(api))
    api.server.realm("acme").disable()
    checks = (await api.admin("POST", "/tenants/acme/checks")).json()
    api.server.realm("acme").enable()
    assert checks["ready"] is False
    found = {one["type"]: one["reason"] for one in checks["realms"][0]["conditions"]}
    assert (found["RealmEnabled"], found["KeysFetched"]) == ("RealmDisabled", "NotReached")
    assert checks["conditions"] == checks["realms"][0]["conditions"]
