"""Which claims a signed token must have, and what the realm's and the row's settings demand of them."""

from __future__ import annotations

from typing import Any

import pytest

from tenants_api.tokens.credentials import Credential
from tests.support.tokens import DROP
from tests.support.verifying import Stage


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"typ": "ID", "nonce": "n", "at_hash": "x"}, "not_an_access_token"),
        ({"typ": "Refresh"}, "not_an_access_token"),
        ({"typ": "Offline"}, "not_an_access_token"),
        ({"typ": "Logout"}, "not_an_access_token"),
        ({"typ": "DPoP", "cnf": {"jkt": "x"}}, "not_an_access_token"),
        ({"typ": DROP}, "not_an_access_token"),
        ({"typ": ["Bearer"]}, "not_an_access_token"),
        ({"cnf": {"jkt": "x"}}, "sender_constrained"),
        ({"cnf": {}}, "sender_constrained"),
        ({"cnf": None}, "sender_constrained"),
        ({"sub": DROP}, "no_subject"),
        ({"sub": ""}, "no_subject"),
        ({"sub": " "}, "no_subject"),
        ({"sub": 7}, "no_subject"),
        ({"sub": "a\x00b"}, "no_subject"),
        ({"sub": "x" * 256}, "no_subject"),
        ({"aud": "account"}, "wrong_audience"),
        ({"aud": ["account"]}, "wrong_audience"),
        ({"aud": DROP}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": ["tenants-api", 1]}, "wrong_audience"),
        ({"aud": [["tenants-api"]]}, "wrong_audience"),
        ({"aud": {"tenants-api": 1}}, "wrong_audience"),
        ({"aud": "tenants-api,account"}, "wrong_audience"),
        ({"aud": "Tenants-API"}, "wrong_audience"),
        ({"azp": ["web"]}, "wrong_authorized_party"),
        ({"exp": DROP}, "no_exp"),
        ({"exp": "4102444800"}, "no_exp"),
        ({"exp": True}, "no_exp"),
        ({"exp": 1e308}, "no_exp"),
        ({"exp": 10**400}, "no_exp"),
        ({"exp": 0}, "no_exp"),
        ({"exp": -1}, "no_exp"),
        ({"exp": -0.5}, "no_exp"),
        ({"exp": 0.5}, "no_exp"),
        ({"exp": 253_402_300_799.5}, "no_exp"),
        ({"exp": [1]}, "no_exp"),
        ({"exp": 1_900_000_000}, "lives_too_long"),
        ({"iat": DROP}, "no_iat"),
        ({"iat": "now"}, "no_iat"),
        ({"iat": True}, "no_iat"),
        ({"iat": 0}, "no_iat"),
        ({"iat": 1e308}, "no_iat"),
        ({"iat": 1_800_000_030.5}, "issued_in_the_future"),
        ({"iat": 1_800_000_031}, "issued_in_the_future"),
        ({"nbf": 1_800_000_031}, "not_yet_valid"),
        ({"nbf": None}, "no_nbf"),
        ({"nbf": True}, "no_nbf"),
        ({"nbf": False}, "no_nbf"),
        ({"nbf": "0"}, "no_nbf"),
        ({"nbf": -1}, "no_nbf"),
        ({"nbf": -0.5}, "no_nbf"),
        ({"nbf": 1e308}, "no_nbf"),
        ({"nbf": 1_800_000_030.5}, "not_yet_valid"),
    ],
    ids=str,
)
async def test_token_with_a_wrong_claim_is_refused(stage: Stage, changes: dict[str, Any], reason: str) -> None:
    assert await stage.outcome(stage.token(**changes)) == f"invalid_token:{reason}"


@pytest.mark.parametrize(
    "changes",
    [
        {"nbf": 0},
        {"nbf": 0.0},
        {"nbf": 1_800_000_030},
        {"nbf": 1_799_999_999.75},
        {"exp": 1_800_000_300.5},
        {"iat": 1_799_999_999.999},
        {"iat": 1.8e9, "exp": 1.8000003e9, "nbf": 1.8e9},
        {"aud": [*map(str, range(100)), "tenants-api"]},
        {"aud": [*map(str, range(400)), "tenants-api"]},
    ],
    ids=lambda changes: str(changes)[:40],
)
@pytest.mark.parametrize("realm", ["acme", "globex"])
async def test_token_with_a_right_claim_is_accepted(stage: Stage, realm: str, changes: dict[str, Any]) -> None:
    """A4, A7"""
    assert await stage.outcome(stage.token(realm, **changes)) == f"accepted:{realm}"


async def test_audience_that_none_of_many_names_is_still_wrong(stage: Stage) -> None:
    assert await stage.outcome(stage.token(aud=[*map(str, range(400))])) == "invalid_token:wrong_audience"


@pytest.mark.parametrize(("expiry", "until"), [(1_800_000_300.999, 1_800_000_300), (1_800_000_300, 1_800_000_300)])
async def test_expiry_of_a_principal_is_a_whole_second_rounded_down(stage: Stage, expiry: float, until: int) -> None:
    principal = await stage.verifier.verify(Credential.bearer(stage.token(exp=expiry)))
    assert (principal.expires_at, type(principal.expires_at)) == (until, int)


async def test_token_with_a_fraction_ends_as_one_without(stage: Stage) -> None:
    token = stage.token(exp=1_800_000_300.5)
    stage.clock.now += 330
    assert await stage.outcome(token) == "accepted:acme"
    stage.clock.now += 0.5
    assert await stage.outcome(token) == "token_expired:expired"


@pytest.mark.parametrize("claim", ["preferred_username", "email", "name", "scope"])
async def test_text_of_a_claim_is_never_cut(stage: Stage, claim: str) -> None:
    """Cut, it could be the name of another user."""
    principal = await stage.verifier.verify(Credential.bearer(stage.token(**{claim: "a" * 4096 + "b"})))
    assert "a" * 4096 + "b" in (principal.username, principal.email, principal.full_name, principal.scope)


SERVICE = {"preferred_username": "service-account-tenants-api"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**SERVICE, "sid": DROP}, True),
        ({**SERVICE, "sid": DROP, "client_id": "tenants-api"}, True),
        ({**SERVICE, "client_id": "tenants-api"}, True),
        ({**SERVICE, "client_id": "Tenants-API"}, True),
        ({**SERVICE, "clientId": "tenants-api"}, True),
        (SERVICE, False),
        ({**SERVICE, "client_id": "web"}, False),
        ({**SERVICE, "client_id": ["tenants-api"]}, False),
        ({**SERVICE, "client_id": None}, False),
        ({"client_id": "web"}, False),
        ({"client_id": "web", "sid": DROP}, False),
        ({"client_id": "web", "preferred_username": DROP}, False),
    ],
    ids=str,
)
async def test_service_account_is_told_by_its_client_also_in_a_session(
    stage: Stage, changes: dict[str, Any], expected: bool
) -> None:
    """A9: a client that may have refresh tokens has a session; RFC 9068 wants `client_id` in a user's token, too."""
    assert (await stage.verifier.verify(Credential.bearer(stage.token(**changes)))).service_account is expected


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
async def test_claim_typ_is_read_in_any_letter_case(stage: Stage, kind: str) -> None:
    assert await stage.outcome(stage.token(typ=kind)) == "accepted:acme"


@pytest.mark.parametrize(("after", "code"), [(329, "accepted:acme"), (330, "token_expired:expired")])
async def test_expired_token_is_told_so_after_the_leeway(stage: Stage, after: int, code: str) -> None:
    token = stage.token()
    stage.clock.now += after
    assert await stage.outcome(token) == code


async def test_expired_token_that_is_bad_in_another_way_is_not_told_that_it_expired(stage: Stage) -> None:
    token = stage.token(aud="account")
    stage.clock.now += 1000
    assert await stage.outcome(token) == "invalid_token:wrong_audience"
    forged = stage.keys["globex"].token(stage.claims("acme", exp=int(stage.clock.now) - 100), kid="kid-acme")
    assert await stage.outcome(forged) == "invalid_token:bad_signature"


async def test_authorized_parties_are_an_allow_list(stage: Stage) -> None:
    stage.add("acme", authorized_parties=frozenset({"mobile"}))
    assert await stage.outcome(stage.token()) == "invalid_token:wrong_authorized_party"
    assert await stage.outcome(stage.token(azp="mobile")) == "accepted:acme"
    assert await stage.outcome(stage.token(azp=DROP)) == "invalid_token:wrong_authorized_party"


async def test_token_issued_before_not_before_is_refused(stage: Stage) -> None:
    stage.add("acme", not_before=int(stage.clock.now) + 1)
    assert await stage.outcome(stage.token()) == "invalid_token:issued_before_not_before"


async def test_not_before_of_the_realm_itself_counts_too(stage: Stage) -> None:
    stage.world.not_before[stage.issuer("acme")] = int(stage.clock.now) + 1
    assert await stage.outcome(stage.token()) == "invalid_token:issued_before_not_before"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"
