"""`/t/{slug}/login`: the password form that goes to the tenant's own realm."""

from __future__ import annotations

import pytest

from tests.live.api_server import ApiServer, Tenant
from tests.live.conftest import FreshRealm
from tests.live.keycloak_server import KeycloakServer

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]


@pytest.fixture(scope="module")
def open_door(api: ApiServer, keycloak: KeycloakServer, acme: Tenant) -> Tenant:
    """Tenant acme with its login switched on."""
    realm = api.admin("GET", f"/tenants/{acme.id}/realms/{acme.realm_id}")
    answer = api.admin(
        "PATCH",
        f"/tenants/{acme.id}/realms/{acme.realm_id}",
        json={"login_client_id": "web"},
        headers={"If-Match": realm.headers["ETag"], "Content-Type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200, answer.text
    api.settle()
    return acme


def test_right_password_gives_tokens_that_work(api: ApiServer, open_door: Tenant) -> None:
    answer = api.call("POST", f"/t/{open_door.slug}/login", data={"username": "alice", "password": "alice-pw"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found.keys() >= {"access_token", "refresh_token", "expires_in", "refresh_expires_in", "token_type", "scope"}
    assert found["token_type"].lower() == "bearer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert api.me(found["access_token"]).json()["username"] == "alice"


@pytest.mark.parametrize(("username", "password"), [("alice", "not-hers"), ("nobody-of-that-name", "whatever")])
def test_wrong_password_and_unknown_user_look_the_same(
    api: ApiServer, open_door: Tenant, username: str, password: str
) -> None:
    answer = api.call("POST", f"/t/{open_door.slug}/login", data={"username": username, "password": password})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert password not in answer.text


def test_user_of_one_realm_does_not_log_in_at_another(
    api: ApiServer, keycloak: KeycloakServer, fresh_realm: FreshRealm, open_door: Tenant
) -> None:
    api.register("other-door", issuer=fresh_realm("other-door"), login_client_id="web")
    keycloak.admin.create_user(
        "other-door",
        {
            "username": "olga",
            "enabled": True,
            "email": "olga@other-door.example",
            "emailVerified": True,
            "firstName": "Olga",
            "lastName": "Doe",
            "credentials": [{"type": "password", "value": "olga-pw", "temporary": False}],
        },
    )
    form = {"username": "olga", "password": "olga-pw"}
    assert api.call("POST", "/t/other-door/login", data=form).status_code == 200
    assert api.call("POST", f"/t/{open_door.slug}/login", data=form).status_code == 401


def test_login_is_not_there_unless_the_realm_allows_it(api: ApiServer, globex: Tenant) -> None:
    answer = api.call("POST", f"/t/{globex.slug}/login", data={"username": "alice", "password": "alice-pw"})
    assert answer.status_code == 404
