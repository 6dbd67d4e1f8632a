"""Everything near a good token is refused, by the function; a sample goes over the socket in tests/attacks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tokens import DROP, Key, jwks
from tests.support.verifying import Stage
from tests.vectors import mutations

# Claims that no rule reads before it believes the token: any value of theirs is shown or passed over.
FREE = {
    "sid", "acr", "realm_access", "resource_access", "scope", "email_verified", "name", "preferred_username", "email",
}  # fmt: skip
# Values of the other claims that are as good as the ones before.
ALSO_GOOD: dict[str, tuple[Any, ...]] = {
    "azp": (DROP, None, "", "x", "0", "null"),
    "sub": ("x", "0", "null"),
    "jti": (DROP, "", "x", "0", "null"),
}


def staged(algorithm: str) -> tuple[Stage, Key]:
    """A stage whose realm `acme` signs by this algorithm."""
    stage = Stage()
    key = Key(f"mutated-{algorithm}", algorithm=algorithm)
    stage.keys["acme"] = key
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({algorithm}))
    return stage, key


async def outcome(stage: Stage, raw: str) -> str:
    stage.clock.steady += 2  # so that no kid that nobody knows waits for its turn
    return await stage.outcome(raw)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_every_single_byte_flipped_put_in_or_left_out_is_refused(algorithm: str) -> None:
    stage, _ = staged(algorithm)
    raw = stage.token(realm_access=DROP, email=DROP, name=DROP, preferred_username=DROP)
    assert await outcome(stage, raw) == "accepted:acme"
    tried = {other for other in mutations.single_bytes(raw) if other != raw}
    assert len(tried) > 12 * len(raw)
    accepted = [other for other in tried if not (await outcome(stage, other)).startswith("invalid_token:")]
    assert accepted == []


async def test_every_claim_of_each_json_type_is_refused_unless_it_is_only_shown() -> None:
    stage, key = staged("EdDSA")
    accepted: dict[str, list[Any]] = {}
    names = set()
    for name, value, raw in mutations.typed_claims(key, stage.claims()):
        names.add(name)
        found = await outcome(stage, raw)
        assert found == "accepted:acme" or found.split(":")[0] in ("invalid_token", "token_expired"), (name, value)
        if found == "accepted:acme":
            accepted.setdefault(name, []).append(value)
    assert names == set(stage.claims())
    assert {name: tuple(values) for name, values in accepted.items() if name not in FREE} == ALSO_GOOD
    for name in FREE:
        assert len(accepted[name]) == len(mutations.JSON_VALUES), name


async def test_every_pair_of_header_members_is_refused_unless_both_are_harmless() -> None:
    stage, key = staged("RS256")
    for first, second, raw in mutations.header_pairs(key, stage.claims()):
        harmless = first in mutations.HARMLESS and second in mutations.HARMLESS
        found = await outcome(stage, raw)
        assert (found == "accepted:acme") == harmless, (first, second, found)
        assert harmless or found.startswith("invalid_token:")


async def test_every_header_member_twice_is_refused() -> None:
    stage, key = staged("RS256")
    for name, raw in mutations.doubled_headers(key, stage.claims()):
        assert await outcome(stage, raw) == "invalid_token:not_strict_json", name
