"""Who may use the admin plane: the platform realm's `platform-admin`, and nobody whose realm is a tenant's."""

from __future__ import annotations

import pytest

from tests.live.api_server import ApiServer, Tenant
from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import PLATFORM_ADMIN, PLATFORM_GUEST, PLATFORM_REALM

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]

LIST = "/admin/v1/tenants"


def test_platform_admin_may_use_the_admin_plane(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    answer = api.call("GET", LIST, token=keycloak.login(PLATFORM_REALM).password(PLATFORM_ADMIN).access)
    assert answer.status_code == 200, answer.text
    assert acme.slug in [tenant["slug"] for tenant in answer.json()["data"]]


def test_platform_admin_through_the_login_page_may_use_the_admin_plane(
    api: ApiServer, keycloak: KeycloakServer
) -> None:
    token = keycloak.login(PLATFORM_REALM).code(PLATFORM_ADMIN).access
    assert api.call("GET", LIST, token=token).status_code == 200


def test_platform_user_without_the_role_is_refused(api: ApiServer, keycloak: KeycloakServer) -> None:
    answer = api.call("GET", LIST, token=keycloak.login(PLATFORM_REALM).password(PLATFORM_GUEST).access)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_role")


def test_tenants_own_platform_admin_role_opens_nothing(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> None:
    # carol is admin of acme and bears a realm role named platform-admin there.
    answer = api.call("GET", LIST, token=keycloak.login(acme.slug).password("carol").access)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_tenants_token_changes_nothing_on_the_admin_plane(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, globex: Tenant
) -> None:
    token = keycloak.login(acme.slug).password("carol").access
    assert api.call("POST", f"{LIST}/{globex.id}/suspend", token=token, json={}).status_code == 401
    assert api.admin("GET", f"/tenants/{globex.id}").json()["state"] == "active"


def test_admin_plane_without_credentials_is_refused(api: ApiServer) -> None:
    answer = api.call("GET", LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")
