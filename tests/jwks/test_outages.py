"""A realm that fails, hangs or is gone: known keys go on serving, and nobody else is held up."""

from __future__ import annotations

import asyncio

from tenants_api.jwks.realm_keys import KeyPolicy
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage, settle
from tests.support.waiting import DEADLINE


async def test_first_fetch_that_failed_is_tried_again_within_two_seconds(stage: Stage) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.pass_time(0.3)
    assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_cold_outage_backs_off(stage: Stage) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for _ in range(200):
        assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
        stage.clock.pass_time(0.1)
    assert stage.world.fetches[stage.issuer("acme")] <= 9
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_known_kids_serve_through_an_outage_until_the_stale_limit(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for hours in range(1, 24):
        stage.clock.pass_time(3600)
        assert await stage.outcome(stage.token()) == "accepted:acme", hours
    stage.clock.pass_time(3700)
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.pass_time(60)
    assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_foreign_kid_during_an_outage_is_401_not_503(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    raw = stage.keys["acme"].token(stage.claims(), kid="foreign")
    assert await stage.outcome(raw) == "invalid_token:unknown_key"


async def test_first_token_of_a_key_that_was_made_during_an_outage_is_accepted(stage: Stage) -> None:
    """The back-off after an outage must not refuse what the realm issues from its first second on."""
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for _ in range(12):
        stage.clock.pass_time(60)
        assert await stage.outcome(stage.token()) == "accepted:acme"
        await settle()
    del stage.world.failures[stage.issuer("acme")]
    stage.keys["acme"] = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"])
    assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_hanging_realm_holds_up_nobody_else(stage: Stage) -> None:
    stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    hanging = [asyncio.create_task(stage.outcome(stage.token(jti=str(number)))) for number in range(50)]
    await settle()
    assert await asyncio.wait_for(stage.outcome(stage.token("globex")), DEADLINE) == "accepted:globex"
    assert not any(task.done() for task in hanging)
    stage.world.gates[stage.issuer("acme")].set()
    assert set(await asyncio.gather(*hanging)) == {"accepted:acme"}


async def test_a_hundred_hanging_realms_hold_up_nobody_else(stage: Stage) -> None:
    for number in range(100):
        stage.keys[f"hangs-{number}"] = stage.keys["acme"]  # nobody gets to see it, and a hundred take seconds to make
        stage.add(f"hangs-{number}")
        stage.world.gates[stage.issuer(f"hangs-{number}")] = asyncio.Event()
    hanging = [asyncio.create_task(stage.outcome(stage.token(f"hangs-{number}"))) for number in range(100)]
    await settle()
    assert await asyncio.wait_for(stage.outcome(stage.token("globex")), DEADLINE) == "accepted:globex"
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    stage.jwks_cache.cancel()


async def test_renewal_that_hangs_lets_the_old_keys_serve() -> None:
    stage = Stage(policy=KeyPolicy(lifetime=300, stale_limit=86_400))
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    stage.clock.pass_time(400)
    assert await asyncio.wait_for(stage.outcome(stage.token()), DEADLINE) == "accepted:acme"
    stage.world.gates[stage.issuer("acme")].set()


async def test_stored_keys_serve_at_start_with_the_realm_gone() -> None:
    stage = Stage()
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    stage.jwks_cache.of(realm).restore(jwks(stage.keys["acme"]), age=3600, not_before=0, enabled=True)
    assert await stage.outcome(stage.token()) == "accepted:acme"
    assert stage.jwks_cache.of(realm).state.source == "stored"
