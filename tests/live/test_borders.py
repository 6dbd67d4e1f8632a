"""The border between tenants: the issuer says whose a token is, and nothing in a path or an id moves it."""

from __future__ import annotations

import pytest

from tests.live.api_server import ApiServer, Tenant
from tests.live.keycloak_server import KeycloakServer

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]


def test_own_tenant_in_the_path_is_accepted(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    answer = api.call("GET", "/t/acme/v1/me", token=keycloak.login("acme").password("bob").access)
    assert (answer.status_code, answer.json()["tenant"]["id"]) == (200, acme.id)


def test_other_tenant_in_the_path_is_refused_whether_it_exists_or_not(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, globex: Tenant
) -> None:
    token = keycloak.login(acme.slug).password("carol").access
    there = api.call("GET", f"/t/{globex.slug}/v1/me", token=token)
    nowhere = api.call("GET", "/t/never-existed/v1/me", token=token)
    assert (there.status_code, there.json()["code"]) == (403, "tenant_mismatch")
    assert nowhere.status_code == 403
    assert {**there.json(), "request_id": ""} == {**nowhere.json(), "request_id": ""}
    assert there.headers["WWW-Authenticate"] == nowhere.headers["WWW-Authenticate"]


def test_item_of_another_tenant_is_not_found_by_any_method(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, globex: Tenant
) -> None:
    owner, stranger = (keycloak.login(slug).password("carol").access for slug in (acme.slug, globex.slug))
    created = api.call("POST", "/v1/items", token=owner, json={"title": "Acme's own"})
    assert created.status_code == 201, created.text
    path = f"/v1/items/{created.json()['id']}"
    answers = [
        api.call("GET", path, token=stranger),
        api.call("PATCH", path, token=stranger, json={"title": "taken"}),
        api.call("DELETE", path, token=stranger),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "item_not_found")] * 3
    assert api.call("GET", path, token=owner).json()["title"] == "Acme's own"
    listed = api.call("GET", "/v1/items?limit=100", token=stranger).json()["data"]
    assert created.json()["id"] not in [item["id"] for item in listed]


def test_viewer_reads_and_writes_nothing(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    token = keycloak.login(acme.slug).password("bob").access
    assert api.call("GET", "/v1/items", token=token).status_code == 200
    refusal = api.call("POST", "/v1/items", token=token, json={"title": "no"})
    assert (refusal.status_code, refusal.json()["code"]) == (403, "insufficient_role")


def test_editor_creates_and_changes_but_does_not_delete(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    token = keycloak.login(acme.slug).password("alice").access
    created = api.call("POST", "/v1/items", token=token, json={"title": "Draft", "body": "text"})
    assert created.status_code == 201, created.text
    path = created.headers["Location"].removeprefix(api.base_url)
    changed = api.call(
        "PATCH", path, token=token, json={"title": "Final"}, headers={"If-Match": created.headers["ETag"]}
    )
    assert (changed.status_code, changed.json()["title"], changed.json()["body"]) == (200, "Final", "text")
    late = api.call("PATCH", path, token=token, json={"title": "Late"}, headers={"If-Match": created.headers["ETag"]})
    assert (late.status_code, late.json()["code"]) == (412, "etag_mismatch")
    refusal = api.call("DELETE", path, token=token)
    assert (refusal.status_code, refusal.json()["code"]) == (403, "insufficient_role")


def test_admin_deletes(api: ApiServer, keycloak: KeycloakServer, globex: Tenant) -> None:
    token = keycloak.login(globex.slug).password("carol").access
    created = api.call("POST", "/v1/items", token=token, json={"title": "Short-lived"})
    path = f"/v1/items/{created.json()['id']}"
    assert api.call("DELETE", path, token=token).status_code == 204
    assert api.call("GET", path, token=token).status_code == 404
