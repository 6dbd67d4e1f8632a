"""Every hostile token of the battery, against the verifier's function and against a running server's socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.attacks.battery import BATTERY, Attack
from tests.attacks.conftest import Target

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("battery")]
REFUSED = 'Bearer realm="tenants-api", error="invalid_token", error_description="The access token is not accepted"'


@pytest.fixture(autouse=True)
async def still_open(target: Target) -> AsyncIterator[None]:
    """Before and after every attack a good token is accepted: a refusal means something, and nothing broke."""
    good = target.forge.good()
    assert await target.outcome(good) == "accepted:acme"
    yield
    assert (await target.me(b"Authorization: Bearer " + good.encode()))[0] == 200


@pytest.mark.parametrize("attack", BATTERY, ids=str)
async def test_function_refuses_with_the_precise_reason(target: Target, attack: Attack) -> None:
    assert await target.outcome(attack.make(target.forge)) == f"{attack.code}:{attack.reason}"


@pytest.mark.parametrize("attack", BATTERY, ids=str)
async def test_server_refuses_with_the_one_public_answer(target: Target, attack: Attack) -> None:
    raw = attack.make(target.forge).encode("utf-8", "surrogatepass")
    status, headers, problem = await target.me(b"Authorization: Bearer " + raw)
    assert status == attack.status
    if status == 401:
        assert problem["code"] == attack.code
        if attack.code == "invalid_token":
            assert headers["www-authenticate"] == REFUSED
    assert len(raw) < 20 or raw not in json.dumps(problem).encode()


async def test_battery_makes_no_fetch_beyond_the_budget_for_unknown_kids(target: Target) -> None:
    """C9, E6: a token names no target. Whatever it says, the stranger's realm is never asked, nor is any other host."""
    assert target.forge.stranger.requests.total() == 0
