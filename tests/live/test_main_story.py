"""The main story on real Keycloak realms: one admin call lets a customer in, and its people are known from then on."""

from __future__ import annotations

import httpx
import pytest

from tests.live.api_server import ApiServer, Tenant
from tests.live.conftest import FreshRealm, FreshTenant
from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import API_CLIENT, ROBOT_CLIENT, ROBOT_SECRET
from tests.support.processes import wait_for

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]


def statuses(answers: list[httpx.Response]) -> set[int]:
    return {answer.status_code for answer in answers}


def test_realm_is_accepted_once_it_is_registered_and_no_other_realm_with_it(
    api: ApiServer, keycloak: KeycloakServer, fresh_realm: FreshRealm
) -> None:
    first, second = fresh_realm("first"), fresh_realm("second")
    first_token = keycloak.login("first").password("alice").access
    second_token = keycloak.login("second").password("alice").access
    assert statuses(api.on_every_worker("/v1/me", token=first_token)) == {401}

    tenant = api.register("first", issuer=first)
    assert tenant.document["health"] == "healthy"
    assert statuses(api.on_every_worker("/v1/me", token=first_token)) == {200}
    assert statuses(api.on_every_worker("/v1/me", token=second_token)) == {401}

    api.register("second", issuer=second)
    assert statuses(api.on_every_worker("/v1/me", token=second_token)) == {200}
    assert api.me(second_token).json()["tenant"]["slug"] == "second"


def test_registered_realm_is_accepted_without_a_restart(
    api: ApiServer, keycloak: KeycloakServer, fresh_realm: FreshRealm
) -> None:
    issuer = fresh_realm("prompt")
    token = keycloak.login("prompt").password("alice").access
    api.register("prompt", issuer=issuer, settle=False)
    with httpx.Client(trust_env=False, timeout=60) as one_worker:
        url, headers = f"{api.base_url}/v1/me", {"Authorization": f"Bearer {token}"}
        wait_for(lambda: one_worker.get(url, headers=headers).status_code == 200, what="the token is accepted")


def test_issuer_can_be_registered_only_once(api: ApiServer, acme: Tenant) -> None:
    body = {"slug": "impostor", "name": "Impostor", "realms": [{"issuer": acme.issuer, "client_id": API_CLIENT}]}
    answer = api.admin("POST", "/tenants", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "issuer_taken")
    assert api.admin("GET", "/tenants/impostor").status_code == 404


def test_password_token_tells_who_calls_and_for_which_tenant(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant
) -> None:
    answer = api.me(keycloak.login("acme").password("alice").access)
    assert answer.status_code == 200, answer.text
    me = answer.json()
    assert me["tenant"] == {"id": acme.id, "slug": "acme", "name": "Acme"}
    assert me["issuer"] == keycloak.issuer("acme")
    assert (me["username"], me["full_name"], me["email"], me["email_verified"]) == (
        "alice",
        "Alice Doe",
        "alice@acme.example",
        True,
    )
    assert (me["roles"], me["authorized_party"], me["service_account"]) == (["editor"], "web", False)
    assert me["organization"] is None
    assert me["subject"]
    assert {"openid", "email", "profile"} <= set(me["scopes"])
    assert answer.headers["Cache-Control"] == "no-store"


def test_code_with_pkce_token_is_accepted(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    me = api.me(keycloak.login("acme").code("bob").access)
    assert me.status_code == 200, me.text
    assert (me.json()["tenant"]["slug"], me.json()["username"], me.json()["roles"]) == (acme.slug, "bob", ["viewer"])


def test_client_credentials_token_is_accepted_as_a_service_account(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant
) -> None:
    answer = api.me(keycloak.login("acme").client_credentials(ROBOT_CLIENT, secret=ROBOT_SECRET).access)
    assert answer.status_code == 200, answer.text
    me = answer.json()
    assert (me["tenant"]["slug"], me["service_account"], me["authorized_party"]) == (acme.slug, True, ROBOT_CLIENT)
    assert (me["username"], me["roles"], me["email"]) == (f"service-account-{ROBOT_CLIENT}", ["viewer"], None)


def test_refreshed_token_is_accepted(api: ApiServer, keycloak: KeycloakServer, globex: Tenant) -> None:
    login = keycloak.login("globex")
    me = api.me(login.refresh(login.password("carol").refresh).access)
    assert me.status_code == 200, me.text
    assert (me.json()["tenant"]["slug"], me.json()["roles"]) == (globex.slug, ["admin"])


@pytest.mark.parametrize("username", ["dave", "erin"])
def test_role_elsewhere_in_the_realm_grants_nothing(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, username: str
) -> None:
    # dave is `admin` of the client `web` and by a realm role; erin has nothing but the default roles.
    token = keycloak.login(acme.slug).password(username).access
    assert api.me(token).json()["roles"] == []
    refusal = api.call("GET", "/v1/items", token=token)
    assert (refusal.status_code, refusal.json()["code"]) == (403, "insufficient_role")
    assert 'error="insufficient_scope"' in refusal.headers["WWW-Authenticate"]


def test_realm_role_counts_once_it_is_mapped(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant
) -> None:
    tenant = fresh_tenant("mapping")
    rules = [{"from": "realm", "value": "admin", "role": "viewer"}]
    answer = api.admin("PUT", f"/tenants/{tenant.id}/role-mapping", json=rules)
    assert answer.status_code == 200, answer.text
    api.settle()
    assert api.me(keycloak.login("mapping").password("dave").access).json()["roles"] == ["viewer"]


def test_people_of_a_tenant_see_their_tenant(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    answer = api.call("GET", "/v1/tenant", token=keycloak.login("acme").password("bob").access)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["slug"], answer.json()["state"]) == ("acme", "active")
    assert [realm["issuer"] for realm in answer.json()["realms"]] == [acme.issuer]


def test_suspended_tenant_is_refused_on_every_worker_and_resumed_accepted(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant, globex: Tenant
) -> None:
    tenant = fresh_tenant("suspending")
    token = keycloak.login("suspending").password("alice").access
    other = keycloak.login(globex.slug).password("alice").access
    assert statuses(api.on_every_worker("/v1/me", token=token)) == {200}

    assert api.admin("POST", f"/tenants/{tenant.id}/suspend", json={"reason": "unpaid"}).status_code == 200
    api.settle()
    refused = api.on_every_worker("/v1/me", token=token)
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "tenant_suspended")}
    assert statuses(api.on_every_worker("/v1/me", token=other)) == {200}

    assert api.admin("POST", f"/tenants/{tenant.id}/resume", json={}).status_code == 200
    api.settle()
    assert statuses(api.on_every_worker("/v1/me", token=token)) == {200}
