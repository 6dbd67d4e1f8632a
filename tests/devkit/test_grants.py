"""The token endpoint: grants and refusals in Keycloak 26.7's words."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tenants_api.devkit.realms import DevRealm
from tenants_api.devkit.realms.certificates import thumbprint
from tests.devkit.flows import OIDC, password, post_token
from tests.devkit.samples import claims_of, samples, shape

pytestmark = pytest.mark.anyio

PASSWORD = {"grant_type": "password", "client_id": "web", "username": "alice", "password": "alice-pw"}
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "tenants-api", "client_secret": "s3cret"}
REFUSED: dict[str, dict[str, str]] = {
    "error_bad_password": PASSWORD | {"password": "wrong"},
    "error_bad_secret": CREDENTIALS | {"client_secret": "wrong"},
    "error_disabled_user": PASSWORD | {"username": "dora", "password": "dora-pw"},
    "error_required_action": PASSWORD | {"username": "nick", "password": "nick-pw"},
    "error_unknown_client": PASSWORD | {"client_id": "nobody"},
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusal_is_the_captured_one(http: httpx.AsyncClient, name: str) -> None:
    answer = await post_token(http, **REFUSED[name])
    assert (answer.status_code, answer.json()) == (samples()[name]["status"], samples()[name]["body"])


async def test_empty_form_tells_an_enabled_realm_from_a_disabled_one(obs: DevRealm, http: httpx.AsyncClient) -> None:
    enabled = await post_token(http)
    obs.disable()
    disabled = await post_token(http)
    obs.enable()
    assert enabled.status_code == 400
    assert enabled.json() == {
        "error": "invalid_request",
        "error_description": "Missing form parameter: grant_type",
    }
    captured = samples()["error_realm_disabled_token"]
    assert (disabled.status_code, disabled.text) == (captured["status"], captured["body"])
    assert (await post_token(http)).status_code == 400


async def test_disabled_realm_gives_no_token(obs: DevRealm, http: httpx.AsyncClient) -> None:
    obs.disable()
    assert (await post_token(http, **PASSWORD)).status_code == 403
    assert (await post_token(http, **CREDENTIALS)).status_code == 403


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (PASSWORD | {"grant_type": "magic"}, 400, "unsupported_grant_type"),
        (PASSWORD | {"username": "stranger"}, 400, "invalid_grant"),
        (PASSWORD | {"scope": "openid rainbow"}, 400, "invalid_scope"),
        (PASSWORD | {"scope": "openid organization:initech"}, 400, "invalid_scope"),
        (PASSWORD | {"client_id": "tenants-api", "client_secret": "s3cret"}, 400, "unauthorized_client"),
        (CREDENTIALS | {"client_id": "web"}, 401, "unauthorized_client"),
        ({"grant_type": "refresh_token", "client_id": "web"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "client_id": "web", "refresh_token": "x.y.z"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code", "client_id": "web"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "client_id": "web", "code": "x"}, 400, "invalid_grant"),
    ],
)
async def test_request_that_cannot_be_granted_is_refused(
    http: httpx.AsyncClient, form: dict[str, str], status: int, error: str
) -> None:
    answer = await post_token(http, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


async def test_password_of_one_realm_gives_tokens_of_that_realm_only(http: httpx.AsyncClient) -> None:
    assert claims_of((await password(http, realm="acme"))["access_token"])["iss"].endswith("/realms/acme")
    assert claims_of((await password(http, realm="obs"))["access_token"])["iss"].endswith("/realms/obs")


async def test_login_by_email_is_possible(http: httpx.AsyncClient) -> None:
    assert (await password(http, username="alice@obs.example"))["token_type"] == "Bearer"


async def test_without_the_openid_scope_there_is_no_id_token(http: httpx.AsyncClient) -> None:
    answer = await password(http, scope="")
    assert "id_token" not in answer
    assert answer["scope"] == "profile email"


async def test_granted_organization_stands_in_scope_and_claim(http: httpx.AsyncClient) -> None:
    claims = claims_of((await password(http, scope="openid organization:globex"))["access_token"])
    assert claims["organization"] == ["globex"]
    assert "organization:globex" in claims["scope"].split()


async def test_client_secret_may_come_by_http_basic(http: httpx.AsyncClient) -> None:
    form = {"grant_type": "client_credentials"}
    good = await http.post(f"{OIDC}/token", data=form, auth=("tenants-api", "s3cret"))
    bad = await http.post(f"{OIDC}/token", data=form, auth=("tenants-api", "wrong"))
    assert (good.status_code, bad.status_code) == (200, 401)


@pytest.mark.parametrize("header", ["Basic %%%", "Basic /////w=="])
async def test_broken_basic_header_is_an_unknown_client(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.post(f"{OIDC}/token", data=CREDENTIALS, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_refresh_keeps_session_user_and_scope(http: httpx.AsyncClient) -> None:
    first = await password(http, scope="openid organization")
    second = await _refresh(http, first["refresh_token"])
    ours, theirs = claims_of(second.json()["access_token"]), claims_of(first["access_token"])
    assert shape(ours) == shape(theirs)
    for name in ("sid", "sub", "organization", "aud", "scope"):
        assert ours[name] == theirs[name]
    assert ours["jti"] != theirs["jti"]


async def test_minted_refresh_token_is_good_at_its_own_realm_and_client(
    obs: DevRealm, acme: DevRealm, http: httpx.AsyncClient
) -> None:
    assert (await _refresh(http, obs.mint(kind="refresh"))).status_code == 200
    assert (await _refresh(http, acme.mint(kind="refresh"))).json()["error"] == "invalid_grant"
    twin = DevRealm("twin", base_url=obs.base_url, keys=obs.keys)
    assert (await _refresh(http, twin.mint(kind="refresh"))).json()["error"] == "invalid_grant"
    assert (await _refresh(http, obs.mint(kind="refresh", client="light"))).json()["error"] == "invalid_grant"
    assert (await _refresh(http, obs.mint())).json()["error_description"] == "Invalid refresh token"


async def test_refresh_token_that_is_expired_or_older_than_not_before_is_refused(
    obs: DevRealm, http: httpx.AsyncClient
) -> None:
    old = await _refresh(http, obs.mint(kind="refresh", now=1_700_000_000))
    assert old.json()["error_description"] == "Token is not active"
    earlier = obs.mint(kind="refresh", now=time.time() - 5)
    obs.push_not_before()
    assert (await _refresh(http, earlier)).json()["error_description"] == "Stale token"


async def test_refresh_after_the_user_was_disabled_or_removed_is_refused(
    obs: DevRealm, http: httpx.AsyncClient
) -> None:
    token = obs.mint(kind="refresh")
    dora = obs.mint(kind="refresh", username="dora")
    del obs.users["alice"]
    assert (await _refresh(http, token)).json()["error_description"] == "Invalid refresh token"
    assert (await _refresh(http, dora)).json()["error_description"] == "User disabled"


async def test_token_response_carries_the_realms_not_before(obs: DevRealm, http: httpx.AsyncClient) -> None:
    at = obs.push_not_before()
    assert (await password(http))["not-before-policy"] == at


async def test_lightweight_client_gets_lightweight_tokens(http: httpx.AsyncClient) -> None:
    claims = claims_of((await password(http, client_id="light"))["access_token"])
    assert set(claims) == set(samples()["access_token_lightweight"]["claims"])


async def test_dpop_proof_binds_the_token_to_its_key(http: httpx.AsyncClient) -> None:
    proof, jwk = _proof()
    answer = await http.post(f"{OIDC}/token", data=PASSWORD | {"scope": "openid"}, headers={"DPoP": proof})
    assert shape(answer.json()) == shape(samples()["token_response_dpop"])
    assert answer.json()["token_type"] == "DPoP"
    claims = claims_of(answer.json()["access_token"])
    assert shape(claims) == shape(samples()["access_token_dpop"]["claims"])
    assert claims["cnf"] == {"jkt": thumbprint(jwk), "kc-jkt-type": "DPoP"}


async def test_broken_dpop_proof_is_refused(http: httpx.AsyncClient) -> None:
    proof, _ = _proof()
    for broken in (proof[:-4] + "AAAA", "nonsense", jwt.encode({}, "k" * 32, headers={"jwk": {"kty": "oct"}})):
        answer = await http.post(f"{OIDC}/token", data=PASSWORD, headers={"DPoP": broken})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_thumbprint_is_the_one_of_rfc_7638() -> None:
    """The example of RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def _proof() -> tuple[str, dict[str, Any]]:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {
        name: value
        for name, value in ECAlgorithm.to_jwk(key.public_key(), as_dict=True).items()
        if name in ("kty", "crv", "x", "y")
    }
    claims = {"htm": "POST", "htu": f"http://localhost:8180{OIDC}/token", "jti": "one", "iat": int(time.time())}
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": "dpop+jwt", "jwk": jwk}), jwk


async def _refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post_token(http, grant_type="refresh_token", client_id="web", refresh_token=token)
