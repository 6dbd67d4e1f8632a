"""C9 and E1 of the catalogue: tokens that may send no request anywhere, in an application that no other token made ask."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, differing
from tests.attacks.battery import NOTHING_ASKED, ROWS

pytestmark = pytest.mark.xdist_group("battery-e")


@pytest.mark.parametrize("row", NOTHING_ASKED)
async def test_hostile_tokens_send_no_request(arena: Arena, face: str, row: str) -> None:
    assert await differing(arena, face, ()) == {}, "the keys of the good token are there"
    before = arena.outbound
    assert await differing(arena, face, ROWS[row]) == {}
    assert arena.outbound == before
