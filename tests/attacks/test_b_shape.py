"""B of the catalogue: texts that are no compact JWS are refused before anything of them is believed."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, differing
from tests.attacks.battery import row

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("battery-b")]


async def test_b1_text_without_exactly_three_segments_is_refused(arena: Arena, face: str) -> None:
    """B1"""
    assert await differing(arena, face, row("B1")) == {}


async def test_b2_json_serialization_is_refused(arena: Arena, face: str) -> None:
    """B2"""
    assert await differing(arena, face, row("B2")) == {}


async def test_b3_padding_is_refused_on_every_segment(arena: Arena, face: str) -> None:
    """B3"""
    assert await differing(arena, face, row("B3")) == {}


async def test_b4_other_spellings_of_base64url_are_refused(arena: Arena, face: str) -> None:
    """B4"""
    assert await differing(arena, face, row("B4")) == {}


async def test_b5_characters_outside_ascii_and_quotes_are_refused(arena: Arena, face: str) -> None:
    """B5"""
    assert await differing(arena, face, row("B5")) == {}


async def test_b7_payload_that_is_no_strict_json_object_is_refused(arena: Arena, face: str) -> None:
    """B7"""
    assert await differing(arena, face, row("B7")) == {}


async def test_b8_duplicate_members_are_refused_also_by_escape(arena: Arena, face: str) -> None:
    """B8"""
    assert await differing(arena, face, row("B8")) == {}


async def test_b9_json_bombs_are_refused(arena: Arena, face: str) -> None:
    """B9"""
    assert await differing(arena, face, row("B9")) == {}


async def test_b10_nested_and_encrypted_tokens_are_refused(arena: Arena, face: str) -> None:
    """B10"""
    assert await differing(arena, face, row("B10")) == {}
