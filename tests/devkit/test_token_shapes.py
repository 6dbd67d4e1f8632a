"""Every kind of token, claim by claim, against the captured ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from tenants_api.devkit.realms import REMOVE, DevRealm
from tenants_api.devkit.realms.tokens import at_hash
from tests.devkit.flows import password, post_token
from tests.devkit.samples import claims_of, fixed, header_of, samples, shape

VOLATILE = {"exp", "iat", "jti", "sid", "sub", "at_hash", "cnf"}
LIFETIME = {"refresh": 1800, "logout": 120}

MINTED: dict[str, Callable[[DevRealm], str]] = {
    "access_token_password": lambda realm: realm.mint(),
    "access_token_client_credentials": lambda realm: realm.mint(kind="service_account"),
    "access_token_lightweight": lambda realm: realm.mint(kind="lightweight"),
    "access_token_dpop": lambda realm: realm.mint(kind="dpop"),
    "access_token_organization": lambda realm: realm.mint(organizations=["globex"]),
    "id_token": lambda realm: realm.mint(kind="id"),
    "refresh_token": lambda realm: realm.mint(kind="refresh"),
    "logout_token_end_session": lambda realm: realm.mint(kind="logout"),
}
JTI = {
    "access_token_client_credentials": "trrtcc:",
    "access_token_lightweight": "onltro:",
    "id_token": "",
    "refresh_token": "",
    "logout_token_end_session": "",
}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.mark.parametrize("name", MINTED)
def test_minted_token_has_exactly_the_claims_of_the_captured_one(obs: DevRealm, name: str) -> None:
    ours, theirs = claims_of(MINTED[name](obs)), samples()[name]["claims"]
    assert shape(ours) == shape(theirs)
    assert fixed(ours, volatile=VOLATILE) == fixed(theirs, volatile=VOLATILE)
    assert ours["exp"] - ours["iat"] == theirs["exp"] - theirs["iat"]


@pytest.mark.parametrize("name", MINTED)
def test_minted_token_has_the_header_of_the_captured_one(obs: DevRealm, name: str) -> None:
    ours, theirs = header_of(MINTED[name](obs)), samples()[name]["header"]
    assert shape(ours) == shape(theirs)
    assert ours | {"kid": ""} == theirs | {"kid": ""}
    assert len(ours["kid"]) == len(theirs["kid"])


@pytest.mark.parametrize("name", MINTED)
def test_jti_tells_the_grant_and_sid_has_24_characters(obs: DevRealm, name: str) -> None:
    ours = claims_of(MINTED[name](obs))
    assert re.fullmatch(JTI.get(name, "onrtro:") + UUID, ours["jti"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", ours.get("sid", "-" * 24))


@pytest.mark.parametrize("shape_of_claim", ["id", "json_attributes", "single"])
def test_organization_claim_takes_every_shape_that_keycloak_gives(obs: DevRealm, shape_of_claim: str) -> None:
    captured = samples()[f"organization_claim_{shape_of_claim}"]
    assert claims_of(obs.mint(organizations=captured))["organization"] == captured


@pytest.mark.parametrize("algorithm", ["ES256", "ES512", "EdDSA", "PS256", "RS512", "HS256"])
def test_a_token_of_any_algorithm_verifies_and_has_the_captured_header(obs: DevRealm, algorithm: str) -> None:
    token = obs.mint(algorithm=algorithm)
    captured = samples()[f"access_token_header_{algorithm}"]
    assert header_of(token) | {"kid": ""} == captured | {"kid": ""}
    assert len(header_of(token)["kid"]) == len(captured["kid"])
    assert obs.keys.decode(token) == claims_of(token)


@pytest.mark.anyio
async def test_password_grant_gives_the_captured_response_and_tokens(obs: DevRealm, http: httpx.AsyncClient) -> None:
    answer = await password(http)
    captured = samples()["token_response_password"]
    assert shape(answer) == shape(captured)
    for name in ("expires_in", "refresh_expires_in", "not-before-policy", "scope", "token_type"):
        assert answer[name] == captured[name]
    for ours, theirs in (("access_token", "access_token_password"), ("id_token",) * 2, ("refresh_token",) * 2):
        assert _same(answer[ours], samples()[theirs]["claims"])
    assert {claims_of(answer[name])["sid"] for name in ("access_token", "id_token", "refresh_token")} == {
        answer["session_state"]
    }
    assert claims_of(answer["id_token"])["at_hash"] == at_hash(answer["access_token"], algorithm="RS256")


@pytest.mark.anyio
async def test_client_credentials_grant_gives_the_captured_token(http: httpx.AsyncClient) -> None:
    answer = await post_token(http, grant_type="client_credentials", client_id="tenants-api", client_secret="s3cret")
    assert answer.status_code == 200
    assert _same(answer.json()["access_token"], samples()["access_token_client_credentials"]["claims"])
    assert "refresh_token" not in answer.json()


@pytest.mark.anyio
async def test_organization_scope_gives_the_captured_token(http: httpx.AsyncClient) -> None:
    answer = await password(http, scope="openid organization")
    assert _same(answer["access_token"], samples()["access_token_organization"]["claims"])


def test_token_of_one_realm_says_so_and_verifies_with_that_realms_keys_only(obs: DevRealm, acme: DevRealm) -> None:
    token = acme.mint()
    assert claims_of(token)["iss"] == "http://localhost:8180/realms/acme"
    assert claims_of(token)["sub"] != claims_of(obs.mint())["sub"]
    assert acme.keys.decode(token) is not None
    assert obs.keys.decode(token) is None


def test_default_users_have_one_role_each_on_the_api_client(acme: DevRealm) -> None:
    roles = {name: claims_of(acme.mint(username=name))["resource_access"]["tenants-api"] for name in acme.users}
    assert roles == {"alice": {"roles": ["editor"]}, "bob": {"roles": ["viewer"]}, "carol": {"roles": ["admin"]}}


def test_client_without_audience_mapper_gets_the_account_audience_as_a_string(acme: DevRealm) -> None:
    assert claims_of(acme.mint(client="no-audience"))["aud"] == "account"


def test_claims_and_header_can_be_overridden_and_removed(acme: DevRealm) -> None:
    token = acme.mint(claims={"aud": None, "sub": REMOVE, "x": 1}, header={"kid": ..., "typ": "at+jwt"})
    assert claims_of(token)["aud"] is None
    assert claims_of(token)["x"] == 1
    assert "sub" not in claims_of(token)
    assert header_of(token) == {"alg": "RS256", "typ": "at+jwt"}


def test_header_override_does_not_change_how_the_token_is_signed(acme: DevRealm) -> None:
    token = acme.mint(header={"alg": "none"})
    assert header_of(token)["alg"] == "none"
    assert token.rpartition(".")[2]
    assert not acme.mint(algorithm="none").rpartition(".")[2]


def test_time_comes_in_as_now(acme: DevRealm) -> None:
    claims = claims_of(acme.mint(now=1_700_000_000.9))
    assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_300)


def test_service_account_is_of_the_api_client_unless_another_is_named(acme: DevRealm) -> None:
    assert claims_of(acme.mint(kind="service_account"))["azp"] == "tenants-api"
    assert claims_of(acme.mint(kind="service_account", client="Robot"))["preferred_username"] == "service-account-robot"


def test_id_token_of_a_larger_algorithm_hashes_with_it(acme: DevRealm) -> None:
    assert len(claims_of(acme.mint(kind="id", algorithm="RS512"))["at_hash"]) == 43


def test_groups_stand_in_the_token_only_for_a_user_who_has_some(acme: DevRealm) -> None:
    acme.add_user(replace(acme.users["bob"], groups=("/staff", "/staff/night")))
    assert claims_of(acme.mint(username="bob"))["groups"] == ["/staff", "/staff/night"]
    assert "groups" not in claims_of(acme.mint())


def test_pyjwt_accepts_the_token_with_the_published_key(acme: DevRealm) -> None:
    """An independent reader: what it accepts is a well-formed JWS of a well-formed key."""
    token = acme.mint()
    entry = next(key for key in acme.keys.public_set() if key["kid"] == header_of(token)["kid"])
    read = jwt.decode(token, jwt.PyJWK(entry), algorithms=["RS256"], audience="tenants-api", issuer=acme.issuer)
    assert read["azp"] == "web"


def _same(token: str, captured: dict[str, Any]) -> bool:
    ours = claims_of(token)
    assert shape(ours) == shape(captured)
    assert fixed(ours, volatile=VOLATILE) == fixed(captured, volatile=VOLATILE)
    return True
