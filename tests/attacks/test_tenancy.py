"""Validly signed tokens of a hostile tenant (D, E, I of the catalogue): they harm nobody but their own realm."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.attacks.battery.signature import twin
from tests.support.tokens import Key, b64, jwks
from tests.support.verifying import Stage


async def test_one_kid_in_two_cold_realms_is_never_mixed_up_by_concurrent_requests(stage: Stage) -> None:
    """E3, Centrifugo CVE-2026-49998: also not while both fetches are under way."""
    stage.keys = {name: Key(name, kid="shared") for name in ("acme", "globex")}
    stage.world.answers = {stage.issuer(name): jwks(key) for name, key in stage.keys.items()}
    gates = {stage.issuer(name): asyncio.Event() for name in stage.keys}
    stage.world.gates.update(gates)
    good = [stage.token(name, jti=str(n)) for n in range(20) for name in stage.keys]
    forged = [
        stage.keys[signer].token(stage.claims(name, jti=str(n)))
        for n in range(20)
        for name, signer in (("acme", "globex"), ("globex", "acme"))
    ]
    tasks = [asyncio.create_task(stage.outcome(raw)) for raw in good + forged]
    await asyncio.sleep(0)
    for gate in gates.values():
        gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert outcomes[:40] == ["accepted:acme", "accepted:globex"] * 20
    assert set(outcomes[40:]) == {"invalid_token:bad_signature"}


async def test_ten_thousand_unknown_issuers_leave_nothing_behind(stage: Stage) -> None:
    """E6: no fetch, no entry."""
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(10_000):
        issuer = b64(json.dumps({"iss": f"https://x{number}.example"}).encode())
        raw = f"{b64(json.dumps({'alg': 'RS256', 'kid': f'k{number}'}).encode())}.{issuer}.AAAA"
        assert await stage.outcome(raw) == "invalid_token:unknown_issuer"
    assert stage.world.fetches == {stage.issuer("acme"): 1}
    assert len(list(stage.jwks_cache)) == 1
    assert stage.verifier.cached_tokens <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": frozenset({"other"})},
        {"authorized_parties": frozenset({"other"})},
        {"not_before": 2_000_000_000},
        {"algorithms": frozenset({"ES256"})},
    ],
    ids=str,
)
async def test_change_of_the_registration_counts_for_tokens_that_were_used_before(stage: Stage, changes: Any) -> None:
    """I7, E10."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    stage.add("acme", **changes)
    assert (await stage.outcome(good)).startswith("invalid_token:")


async def test_new_owner_of_a_slug_gets_nothing_of_the_old_one(stage: Stage) -> None:
    """E11: what is known of a realm is known by the id of its row."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    old = stage.snapshot.find(stage.issuer("acme"))
    assert old is not None
    stage.snapshot.remove(old.id)
    stage.jwks_cache.drop(old.id)
    stage.add("new", id=uuid.uuid4(), tenant=old.tenant, issuer="https://id.example/realms/new-acme")
    assert await stage.outcome(good) == "invalid_token:unknown_issuer"


async def test_twin_of_an_ecdsa_token_is_another_token(stage: Stage) -> None:
    """B6, I4: (r, n - s) verifies as (r, s) does; nothing is remembered by the signature, so nothing is passed on."""
    key = Key("acme", algorithm="ES256")
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({"ES256"}))
    good = key.token(stage.claims())
    tokens = (good, twin(good))
    assert [await stage.outcome(raw) for raw in tokens] == ["accepted:acme"] * 2
    stage.world.answers[stage.issuer("acme")] = jwks(Key("other", algorithm="ES256"))
    stage.clock.pass_time(301)
    assert {await stage.outcome(raw) for raw in tokens} == {"invalid_token:unknown_key"}


async def test_million_tokens_of_one_tenant_stay_within_the_cache() -> None:
    """I6: a tenant may mint as many as it likes; the bound is on entries, and others' hot tokens are used again."""
    stage, key = Stage(cached=True), Key("acme", algorithm="EdDSA")
    stage.add("acme", algorithms=frozenset({"EdDSA"}))
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    for number in range(1500):
        assert await stage.outcome(key.token(stage.claims(jti=str(number)))) == "accepted:acme"
    assert stage.verifier.cached_tokens <= 1000
