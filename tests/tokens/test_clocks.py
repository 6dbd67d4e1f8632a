"""Clocks that are set back or ahead, here or at the realm."""

from __future__ import annotations

import pytest

from tests.support.verifying import Stage


@pytest.mark.parametrize("step", [300, -300, 3600, -3600])
async def test_step_of_the_wall_clock_ends_no_key_and_no_cached_token(stage: Stage, step: int) -> None:
    """Lifetimes are monotonic; only a token's own times are compared with the wall clock."""
    lasting = stage.token(iat=int(stage.clock.now) - 7200, exp=int(stage.clock.now) + 7200)
    assert await stage.outcome(lasting) == "accepted:acme"
    stage.clock.now += step
    assert await stage.outcome(lasting) == "accepted:acme"
    assert await stage.outcome(stage.token()) == "accepted:acme"
    assert stage.world.fetches[stage.issuer("acme")] == 1


@pytest.mark.parametrize("step", [300, -300])
async def test_step_of_the_wall_clock_does_not_stretch_a_back_off(stage: Stage, step: int) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.now += step
    stage.clock.steady += 2
    assert await stage.outcome(stage.token()) == "accepted:acme"


@pytest.mark.parametrize(("ahead", "outcome"), [(29, "accepted:acme"), (31, "invalid_token:issued_in_the_future")])
async def test_realm_whose_clock_is_ahead_gets_the_leeway(stage: Stage, ahead: int, outcome: str) -> None:
    issued = int(stage.clock.now) + ahead
    assert await stage.outcome(stage.token(iat=issued, nbf=issued, exp=issued + 300)) == outcome
