"""What real Keycloak gives us before the API has a say: the token shapes and key behaviour that our rules stand on."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tests.live.conftest import FreshRealm
from tests.live.keycloak_login import TokenRefused
from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import (
    API_CLIENT,
    LIGHT_CLIENT,
    NO_AUDIENCE_CLIENT,
    PLATFORM_ADMIN,
    PLATFORM_GUEST,
    PLATFORM_REALM,
    PLATFORM_ROLE,
    ROBOT_CLIENT,
    ROBOT_SECRET,
)

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]


def header(token: str) -> dict[str, Any]:
    return _part(token, 0)


def claims(token: str) -> dict[str, Any]:
    return _part(token, 1)


def _part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    part: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return part


def test_password_token_names_the_api_the_client_and_the_person(keycloak: KeycloakServer) -> None:
    found = claims(keycloak.login("acme").password("alice").access)
    assert found["iss"] == keycloak.issuer("acme")
    assert API_CLIENT in found["aud"]
    assert (found["azp"], found["typ"]) == ("web", "Bearer")
    assert found["resource_access"][API_CLIENT]["roles"] == ["editor"]
    assert (found["preferred_username"], found["email"], found["email_verified"], found["name"]) == (
        "alice",
        "alice@acme.example",
        True,
        "Alice Doe",
    )
    assert {"exp", "iat", "sub", "jti", "sid"} <= found.keys()


def test_code_with_pkce_gives_the_same_kind_of_token_as_the_password(keycloak: KeycloakServer) -> None:
    tokens = keycloak.login("acme").code("bob")
    found = claims(tokens.access)
    assert (found["iss"], found["azp"], found["typ"]) == (keycloak.issuer("acme"), "web", "Bearer")
    assert API_CLIENT in found["aud"]
    assert found["resource_access"][API_CLIENT]["roles"] == ["viewer"]
    assert "auth_time" in found


def test_refresh_gives_a_new_access_token_of_the_same_person(keycloak: KeycloakServer) -> None:
    login = keycloak.login("globex")
    first = login.password("carol")
    second = login.refresh(first.refresh)
    assert second.access != first.access
    assert claims(second.access)["sub"] == claims(first.access)["sub"]


def test_service_account_token_has_no_session_and_names_its_client(keycloak: KeycloakServer) -> None:
    found = claims(keycloak.login("acme").client_credentials(ROBOT_CLIENT, secret=ROBOT_SECRET).access)
    assert found["azp"] == ROBOT_CLIENT
    assert found["client_id"] == ROBOT_CLIENT
    assert found["preferred_username"] == f"service-account-{ROBOT_CLIENT}"
    assert API_CLIENT in found["aud"]
    assert "sid" not in found
    assert found["resource_access"][API_CLIENT]["roles"] == ["viewer"]


def test_access_token_is_signed_by_a_listed_rs256_key(keycloak: KeycloakServer) -> None:
    login = keycloak.login("acme")
    found = header(login.password("alice").access)
    assert (found["alg"], found["typ"]) == ("RS256", "JWT")
    key = next(key for key in login.key_set() if key["kid"] == found["kid"])
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


def test_id_and_refresh_token_tell_their_type_by_the_claim(keycloak: KeycloakServer) -> None:
    tokens = keycloak.login("acme").password("alice")
    assert (header(tokens.id)["kid"], claims(tokens.id)["typ"]) == (header(tokens.access)["kid"], "ID")
    assert claims(tokens.refresh)["typ"] == "Refresh"
    assert header(tokens.refresh)["alg"].startswith("HS")


def test_token_of_a_client_without_the_mapper_is_for_account_only(keycloak: KeycloakServer) -> None:
    assert claims(keycloak.login("acme").password("erin", client_id=NO_AUDIENCE_CLIENT).access)["aud"] == "account"


def test_client_role_alone_brings_the_audience_without_a_mapper(keycloak: KeycloakServer) -> None:
    found = claims(keycloak.login("acme").password("alice", client_id=NO_AUDIENCE_CLIENT).access)
    assert API_CLIENT in found["aud"]


def test_role_of_the_calling_client_stands_under_that_client(keycloak: KeycloakServer) -> None:
    found = claims(keycloak.login("acme").password("dave").access)
    assert found["resource_access"]["web"]["roles"] == ["admin"]
    assert API_CLIENT not in found["resource_access"]
    assert "admin" in found["realm_access"]["roles"]


def test_lightweight_token_has_no_roles_and_no_audience(keycloak: KeycloakServer) -> None:
    found = claims(keycloak.login("acme").password("alice", client_id=LIGHT_CLIENT).access)
    assert found.keys().isdisjoint({"realm_access", "resource_access", "email"})


def test_platform_admin_has_the_realm_role_and_the_guest_has_not(keycloak: KeycloakServer) -> None:
    login = keycloak.login(PLATFORM_REALM)
    assert PLATFORM_ROLE in claims(login.password(PLATFORM_ADMIN).access)["realm_access"]["roles"]
    assert PLATFORM_ROLE not in claims(login.password(PLATFORM_GUEST).access)["realm_access"]["roles"]


def test_wrong_password_is_refused_as_invalid_grant(keycloak: KeycloakServer) -> None:
    with pytest.raises(TokenRefused) as refusal:
        keycloak.login("acme").password("alice", password="not-hers")
    # 401 up to 26.5, 400 from 26.6 on.
    assert (refusal.value.status in (400, 401), refusal.value.error) == (True, "invalid_grant")


def test_rotation_signs_with_the_new_key_and_lists_both(keycloak: KeycloakServer, fresh_realm: FreshRealm) -> None:
    fresh_realm("rotating")
    login = keycloak.login("rotating")
    old = header(login.password("alice").access)["kid"]
    new = keycloak.admin.rotate_signing_key("rotating")
    assert new != old
    assert header(login.password("alice").access)["kid"] == new
    assert {old, new} <= {key["kid"] for key in login.key_set()}


def test_withdrawn_and_disabled_keys_leave_the_key_set_at_once(
    keycloak: KeycloakServer, fresh_realm: FreshRealm
) -> None:
    fresh_realm("withdrawing")
    login = keycloak.login("withdrawing")
    first = keycloak.admin.signing_kid("withdrawing")
    second = keycloak.admin.rotate_signing_key("withdrawing")
    third = keycloak.admin.rotate_signing_key("withdrawing")
    keycloak.admin.withdraw_key("withdrawing", first)
    keycloak.admin.disable_key("withdrawing", second)
    listed = {key["kid"] for key in login.key_set()}
    assert third in listed
    assert listed.isdisjoint({first, second})


def test_disabled_realm_still_serves_its_keys_but_gives_no_token(
    keycloak: KeycloakServer, fresh_realm: FreshRealm
) -> None:
    fresh_realm("sleeping")
    login = keycloak.login("sleeping")
    keycloak.admin.set_enabled("sleeping", enabled=False)
    assert login.key_set()
    with pytest.raises(TokenRefused) as refusal:
        login.password("alice")
    assert (refusal.value.status, refusal.value.description) == (403, "Realm not enabled")


def test_logout_all_ends_the_sessions_and_sets_not_before(keycloak: KeycloakServer, fresh_realm: FreshRealm) -> None:
    fresh_realm("leaving")
    login = keycloak.login("leaving")
    tokens = login.password("alice")
    before = int(time.time())
    keycloak.admin.logout_all("leaving")
    with pytest.raises(TokenRefused):
        login.refresh(tokens.refresh)
    assert login.not_before() >= before
