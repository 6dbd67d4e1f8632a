"""C of the catalogue: only this realm's key, in its own algorithm, over exactly these bytes."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, Outcome, differing
from tests.attacks.battery import row
from tests.attacks.battery.signature import twin

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("battery-c")]


async def test_c1_unsigned_token_is_refused_however_none_is_spelled(arena: Arena, face: str) -> None:
    """C1"""
    assert await differing(arena, face, row("C1")) == {}


async def test_c2_hmac_with_anything_public_is_refused(arena: Arena, face: str) -> None:
    """C2"""
    assert await differing(arena, face, row("C2")) == {}


async def test_c3_algorithm_of_another_type_or_spelling_is_refused(arena: Arena, face: str) -> None:
    """C3"""
    assert await differing(arena, face, row("C3")) == {}


async def test_c4_key_verifies_no_other_algorithm_than_its_own(arena: Arena, face: str) -> None:
    """C4"""
    assert await differing(arena, face, row("C4")) == {}


async def test_c5_algorithm_that_this_realm_does_not_list_is_refused(arena: Arena, face: str) -> None:
    """C5"""
    assert await differing(arena, face, row("C5")) == {}


async def test_c6_psychic_short_and_long_signatures_are_refused(arena: Arena, face: str) -> None:
    """C6"""
    assert await differing(arena, face, row("C6")) == {}


async def test_c7_rsa_paddings_other_than_the_exact_one_are_refused(arena: Arena, face: str) -> None:
    """C7"""
    assert await differing(arena, face, row("C7")) == {}


async def test_c8_key_in_the_header_is_not_believed(arena: Arena, face: str) -> None:
    """C8"""
    assert await differing(arena, face, row("C8")) == {}


async def test_c9_urls_and_certificates_in_the_header_are_neither_followed_nor_believed(
    arena: Arena, face: str
) -> None:
    """C9"""
    before = arena.outbound
    assert await differing(arena, face, row("C9")) == {}
    assert arena.outbound == before


async def test_c10_critical_header_parameters_are_refused(arena: Arena, face: str) -> None:
    """C10"""
    assert await differing(arena, face, row("C10")) == {}


async def test_c11_unencoded_and_detached_payloads_are_refused(arena: Arena, face: str) -> None:
    """C11"""
    assert await differing(arena, face, row("C11")) == {}


async def test_c12_kid_of_another_type_realm_or_spelling_is_refused(arena: Arena, face: str) -> None:
    """C12"""
    assert await differing(arena, face, row("C12")) == {}


async def test_c13_token_without_a_kid_is_refused(arena: Arena, face: str) -> None:
    """C13"""
    assert await differing(arena, face, row("C13")) == {}


async def test_c14_header_type_of_another_kind_of_token_is_refused(arena: Arena, face: str) -> None:
    """C14"""
    assert await differing(arena, face, row("C14")) == {}


async def test_c15_parts_of_two_tokens_do_not_make_a_third(arena: Arena, face: str) -> None:
    """C15"""
    assert await differing(arena, face, row("C15")) == {}


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "at+JWT", "application/jwt", "application/at+jwt"])
async def test_c14_header_types_of_access_tokens_are_accepted(arena: Arena, kind: str) -> None:
    """C14"""
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
