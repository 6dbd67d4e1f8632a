"""Kids that a realm does not list: floods of them cost few fetches, and a rotated key is found all the same."""

from __future__ import annotations

import asyncio

import pytest

from tenants_api.jwks.realm_keys import MAX_MISSED_KIDS, UnknownKids
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage
from tests.support.waiting import DEADLINE, becomes


async def test_a_thousand_random_kids_make_few_fetches_and_good_tokens_stay_good(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    bogus = [stage.keys["acme"].token(stage.claims(), kid=f"random-{number}") for number in range(1000)]
    outcomes = set(await asyncio.gather(*map(stage.outcome, bogus)))
    assert outcomes == {"invalid_token:unknown_key"}
    assert stage.world.fetches[stage.issuer("acme")] <= 3
    assert await stage.outcome(stage.token(jti="good")) == "accepted:acme"


async def test_rotated_key_is_accepted_while_bogus_kids_arrive(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(3):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    new = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"], new)
    # The monotonic clock stands still in this test, so the wait for the next turn is real time; let it run.
    stage.clock.pass_time(1.0)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"
    assert await stage.outcome(stage.token(jti="old key")) == "accepted:acme"


async def test_lasting_flood_waits_for_nothing_and_costs_a_fetch_a_second(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer = stage.issuer("acme")
    async with asyncio.timeout(
        DEADLINE
    ):  # three looks in vain are waited for (0.75 s); to wait for each would take 250 s
        for number in range(1000):
            raw = stage.keys["acme"].token(stage.claims(), kid=f"random-{number}")
            assert await stage.outcome(raw) == "invalid_token:unknown_key"
    assert stage.world.fetches[issuer] <= 8


async def test_rotated_key_is_accepted_within_a_second_of_a_lasting_flood(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, new = stage.issuer("acme"), Key("acme-2")
    for number in range(50):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    stage.world.answers[issuer] = jwks(stage.keys["acme"], new)
    stage.clock.pass_time(1.0)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"
    before = stage.world.fetches[issuer]
    await stage.outcome(stage.keys["acme"].token(stage.claims(), kid="random-again"))
    assert stage.world.fetches[issuer] == before + 1, "a new key resets the budget"


@pytest.mark.parametrize("kids", [1, 3])
async def test_callers_that_go_on_with_withdrawn_keys_spend_nothing_that_a_rotated_key_needs(
    stage: Stage, kids: int
) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, keys = stage.issuer("acme"), [stage.keys["acme"]]
    gone = [keys[0].token(stage.claims(), kid=f"withdrawn-{number}") for number in range(kids)]
    for _ in range(30):
        assert {await stage.outcome(raw) for raw in gone} == {"invalid_token:unknown_key"}
    stage.clock.pass_time(1.0)  # the last look for the first of them is a second ago
    for number in range(5):
        assert {await stage.outcome(raw) for raw in gone} == {"invalid_token:unknown_key"}
        keys.append(Key(f"acme-{number}"))
        stage.world.answers[issuer] = jwks(*keys)
        assert await stage.outcome(keys[-1].token(stage.claims())) == "accepted:acme"
    before = stage.world.fetches[issuer]
    for _ in range(100):
        await stage.outcome(gone[0])
    assert stage.world.fetches[issuer] <= before + 3


async def test_caller_that_went_on_through_an_outage_spends_nothing_that_a_rotated_key_needs(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, gone = stage.issuer("acme"), stage.keys["acme"].token(stage.claims(), kid="withdrawn")
    stage.clock.pass_time(1.0)
    stage.world.failures[issuer] = "Unreachable"
    for _ in range(20):
        assert await stage.outcome(gone) == "invalid_token:unknown_key"
        stage.clock.pass_time(0.1)
    del stage.world.failures[issuer]
    stage.clock.pass_time(1.0)
    assert await stage.outcome(gone) == "invalid_token:unknown_key"
    new = Key("acme-2")
    stage.world.answers[issuer] = jwks(stage.keys["acme"], new)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_kids_that_were_asked_for_in_vain_take_a_bounded_memory() -> None:
    kids = UnknownKids()
    for number in range(1000):
        kids.miss(f"random-{number}")
    kids.miss("long" * 100)
    repeated = kids.limiter_of("random-999")
    assert sum(kids.limiter_of(f"random-{number}") is repeated for number in range(1000)) == MAX_MISSED_KIDS
    assert kids.limiter_of("long" * 100) is not repeated


async def test_new_key_in_a_flood_is_looked_for_in_the_background() -> None:
    stage = Stage()
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(10):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    new = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"], new)
    raw = new.token(stage.claims())
    await becomes("accepted:acme", lambda: stage.outcome(raw))
