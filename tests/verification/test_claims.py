"""Which claims a signed token must have, and what the realm's and the row's settings demand of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tokens import DROP
from tests.support.verifying import Stage

pytestmark = pytest.mark.anyio


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
        ({"exp": 1_800_000_300.5}, "no_exp"),
        ({"exp": [1]}, "no_exp"),
        ({"exp": 1_900_000_000}, "lives_too_long"),
        ({"iat": DROP}, "no_iat"),
        ({"iat": "now"}, "no_iat"),
        ({"iat": True}, "no_iat"),
        ({"iat": 1_800_000_031}, "issued_in_the_future"),
        ({"nbf": 1_800_000_031}, "not_yet_valid"),
        ({"nbf": None}, "no_nbf"),
        ({"nbf": True}, "no_nbf"),
    ],
    ids=str,
)
async def test_token_with_a_wrong_claim_is_refused(stage: Stage, changes: dict[str, Any], reason: str) -> None:
    assert await stage.outcome(stage.token(**changes)) == f"invalid_token:{reason}"


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
