"""C of the catalogue: only this realm's key, in its own algorithm, over exactly these bytes."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, Outcome
from tests.attacks.battery.signature import twin

pytestmark = pytest.mark.xdist_group("battery-c")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "at+JWT", "application/jwt", "application/at+jwt"])
async def test_c14_header_types_of_access_tokens_are_accepted(arena: Arena, kind: str) -> None:
    raw = arena.mint.token(header={"typ": kind})
    assert await arena.verified(raw) == await arena.served(raw) == Outcome(200, "", "")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_c5_each_listed_algorithm_is_accepted(arena: Arena, algorithm: str) -> None:
    """C5: what the refusals above are measured against."""
    raw = arena.mint.token("curves", algorithm=algorithm)
    assert await arena.verified(raw) == await arena.served(raw) == Outcome(200, "", "")


async def test_b6_second_signature_of_the_same_token_is_the_same_token(arena: Arena) -> None:
    """B6: nothing here is revoked by the text of a token, so the twin is as good and as revoked as the first."""
    raw = arena.mint.token("curves", algorithm="ES256")
    assert twin(raw) != raw
    assert await arena.verified(twin(raw)) == await arena.served(twin(raw)) == Outcome(200, "", "")
