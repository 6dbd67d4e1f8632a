"""What a realm's admin does to keys, sessions and the realm itself, and when our callers feel it.

Each test breaks a realm of its own.
"""

from __future__ import annotations

import threading
import time

import jwt
import pytest

from tests.live.api_server import ApiServer
from tests.live.conftest import FreshTenant
from tests.live.keycloak_server import KeycloakServer
from tests.support.processes import wait_for

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]


def seen(api: ApiServer, token: str) -> set[tuple[int, str]]:
    """Status and code of many answers from every worker; the code of a good one is empty."""
    answers = api.on_every_worker("/v1/me", token=token)
    return {(answer.status_code, answer.json().get("code", "")) for answer in answers}


GOOD, REFUSED = {(200, "")}, {(401, "invalid_token")}


def test_rotation_refuses_no_good_token(api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant) -> None:
    fresh_tenant("rotated")
    login = keycloak.login("rotated")
    old = login.password("alice").access
    assert seen(api, old) == GOOD

    answers: list[int] = []
    ended = threading.Event()

    def keep_calling() -> None:
        while not ended.is_set():
            answers.append(api.me(old).status_code)

    caller = threading.Thread(target=keep_calling)
    caller.start()
    try:
        wait_for(lambda: len(answers) > 10, what="calls before the rotation")
        kid = keycloak.admin.rotate_signing_key("rotated")
        new = login.password("alice").access
        first = api.me(new)
        everywhere = seen(api, new)
        before = len(answers)
        wait_for(lambda: len(answers) > before + 10, what="calls after the rotation")
    finally:
        ended.set()
        caller.join()
    assert kid == keycloak.admin.signing_kid("rotated")
    assert first.status_code == 200, first.text
    assert everywhere == GOOD
    assert set(answers) == {200}


def test_token_of_a_withdrawn_key_is_refused_after_a_refresh(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant
) -> None:
    tenant = fresh_tenant("withdrawn")
    login = keycloak.login("withdrawn")
    old_kid, old = keycloak.admin.signing_kid("withdrawn"), login.password("alice").access
    keycloak.admin.rotate_signing_key("withdrawn")
    new = login.password("alice").access
    assert (seen(api, old), seen(api, new)) == (GOOD, GOOD)

    keycloak.admin.withdraw_key("withdrawn", old_kid)
    assert api.refresh_keys(tenant).status_code == 200
    assert (seen(api, old), seen(api, new)) == (REFUSED, GOOD)


def test_tokens_of_a_disabled_realm_are_refused_after_a_refresh_until_it_is_enabled_again(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant
) -> None:
    tenant = fresh_tenant("disabled")
    token = keycloak.login("disabled").password("alice").access
    assert seen(api, token) == GOOD

    keycloak.admin.set_enabled("disabled", enabled=False)
    assert api.refresh_keys(tenant).status_code == 200
    assert seen(api, token) == REFUSED

    keycloak.admin.set_enabled("disabled", enabled=True)
    assert api.refresh_keys(tenant).status_code == 200
    assert seen(api, token) == GOOD


def test_checks_tell_that_the_realm_is_disabled(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant
) -> None:
    tenant = fresh_tenant("switched-off")
    keycloak.admin.set_enabled("switched-off", enabled=False)
    assert api.admin("POST", f"/tenants/{tenant.id}/checks").status_code == 200
    stored = api.admin("GET", f"/tenants/{tenant.id}").json()["conditions"]
    enabled = next(condition for condition in stored if condition["type"] == "RealmEnabled")
    assert (enabled["status"], enabled["reason"]) == ("False", "RealmDisabled")


def test_token_from_before_logout_all_is_refused_after_a_refresh(
    api: ApiServer, keycloak: KeycloakServer, fresh_tenant: FreshTenant
) -> None:
    tenant = fresh_tenant("logged-out")
    login = keycloak.login("logged-out")
    old = login.password("alice").access
    assert seen(api, old) == GOOD
    # A token of the very second of not-before counts as good, for Keycloak as for us.
    issued = jwt.decode(old, options={"verify_signature": False})["iat"]
    wait_for(lambda: time.time() >= issued + 1, what="the second in which the token was issued is over")
    keycloak.admin.logout_all("logged-out")
    assert api.refresh_keys(tenant).status_code == 200
    assert seen(api, old) == REFUSED
    assert seen(api, login.password("alice").access) == GOOD
