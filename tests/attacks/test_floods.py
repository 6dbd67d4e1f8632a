"""E6, G1, Q4 and floods in general: nothing that a stranger sends makes this API fetch, remember or grow."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena
from tests.attacks.floods import fetch_bound, flood

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("floods")]
FLAT = 64 * 1024  # bytes that a flood of any length may leave behind


@pytest.mark.parametrize("cached", [True, False], ids=["cache", "no cache"])
async def test_memory_is_flat_over_a_flood_of_every_kind(cached: bool) -> None:
    result = await flood(6_000, cached=cached)
    assert result.growth < FLAT
    assert result.fetches <= fetch_bound(result)
    assert result.other_fetches == 0
    assert sum(result.outcomes.values()) == result.requests
    assert all(found.startswith("invalid_token:") for found in result.outcomes)


@pytest.mark.parametrize(
    "only", ["unknown_key", "unknown_issuer", "bad_signature", "not_three_segments", "not_base64url", "wrong_audience"]
)
async def test_flood_of_one_kind_fetches_and_remembers_nothing(only: str) -> None:
    """E6, G1: an unknown issuer causes no fetch at all; unknown kids at most one a second, whatever their number."""
    result = await flood(1_500, only=only)
    assert result.outcomes == {f"invalid_token:{only}": result.requests}
    assert result.fetches <= (fetch_bound(result) if only == "unknown_key" else 0)
    assert (result.other_fetches, result.jwks_cache) == (0, 2)
    assert result.growth < FLAT


async def test_unknown_issuers_over_the_socket_reach_no_realm_and_name_no_series(arena: Arena) -> None:
    """E6, Q4: neither a request to any realm, nor a metric's label, comes from what a stranger made up."""
    before, series = arena.outbound, len(arena.services.metrics.render()[0].splitlines())
    for number in range(150):
        raw = arena.mint.token(claims={"iss": f"https://evil.example/{number}"}, header={"kid": f"k{number}"})
        assert (await arena.me(raw)).shown == (401, "invalid_token")
    assert arena.outbound == before
    page = arena.services.metrics.render()[0]
    assert b"evil.example" not in page
    assert len(page.splitlines()) <= series + 6
