"""What a registered realm signs and we still refuse; and the one face that every refusal has."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.live.api_server import ApiServer, Tenant
from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import LIGHT_CLIENT, NO_AUDIENCE_CLIENT, PLATFORM_ADMIN, PLATFORM_REALM

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]

Maker = Callable[[KeycloakServer], str]


def id_token(keycloak: KeycloakServer) -> str:
    return keycloak.login("acme").password("carol").id


def refresh_token(keycloak: KeycloakServer) -> str:
    return keycloak.login("acme").password("carol").refresh


def token_for_account_only(keycloak: KeycloakServer) -> str:
    return keycloak.login("acme").password("erin", client_id=NO_AUDIENCE_CLIENT).access


def lightweight_token(keycloak: KeycloakServer) -> str:
    return keycloak.login("acme").password("carol", client_id=LIGHT_CLIENT).access


def token_with_the_signature_of_another(keycloak: KeycloakServer) -> str:
    one, other = (keycloak.login(realm).password("carol").access for realm in ("acme", "globex"))
    return f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}"


def token_of_the_platform(keycloak: KeycloakServer) -> str:
    return keycloak.login(PLATFORM_REALM).password(PLATFORM_ADMIN).access


def token_of_the_master_realm(keycloak: KeycloakServer) -> str:
    return keycloak.admin.own_token()


REFUSED = [
    id_token,
    refresh_token,
    token_for_account_only,
    lightweight_token,
    token_with_the_signature_of_another,
    token_of_the_platform,
    token_of_the_master_realm,
]


def face(answer: httpx.Response) -> tuple[int, str, dict[str, object]]:
    """All that a caller sees of a refusal, but for the request id."""
    return answer.status_code, answer.headers["WWW-Authenticate"], {**answer.json(), "request_id": ""}


@pytest.mark.parametrize("make", REFUSED)
def test_token_is_refused_as_invalid_and_never_shown(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, globex: Tenant, make: Maker
) -> None:
    token = make(keycloak)
    answer = api.me(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert token not in answer.text
    # Nothing about the token may be learned from which refusal it got.
    assert face(answer) == face(api.me("eyJhbGciOiJSUzI1NiJ9.e30.AA"))


@pytest.mark.parametrize("make", REFUSED)
def test_explain_tells_the_operator_why(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant, globex: Tenant, make: Maker
) -> None:
    token = make(keycloak)
    answer = api.admin("POST", "/tokens/explain", json={"token": token})
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] is False
    assert answer.json()["reason"]
    assert token not in answer.text


def test_request_without_a_token_is_asked_for_one(api: ApiServer) -> None:
    answer = api.call("GET", "/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tenants-api"'


def test_client_role_brings_the_audience_and_the_token_is_good(
    api: ApiServer, keycloak: KeycloakServer, acme: Tenant
) -> None:
    # Keycloak puts a client into aud for whose roles the token names, without any mapper on the calling client.
    assert api.me(keycloak.login(acme.slug).password("alice", client_id=NO_AUDIENCE_CLIENT).access).status_code == 200


def test_issuer_check_names_the_missing_audience_of_a_sample_token(
    api: ApiServer, keycloak: KeycloakServer, fresh_realm: Callable[[str], str]
) -> None:
    issuer = fresh_realm("unmapped")
    sample = keycloak.login("unmapped").password("erin", client_id=NO_AUDIENCE_CLIENT).access
    body = {"issuer": issuer, "client_id": "tenants-api", "sample_token": sample}
    answer = api.admin("POST", "/issuer-checks", json=body)
    assert answer.status_code == 200, answer.text
    conditions = {condition["type"]: condition for condition in answer.json()["conditions"]}
    assert conditions["SigningKeysUsable"]["status"] == "True"
    assert (conditions["AudienceConfigured"]["status"], conditions["AudienceConfigured"]["reason"]) == (
        "False",
        "AudienceMissing",
    )
    assert NO_AUDIENCE_CLIENT in conditions["AudienceConfigured"]["message"]
    assert sample not in answer.text
