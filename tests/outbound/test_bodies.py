"""A body in pieces that all lie there already, as a hostile realm can arrange it: no wait ever lets others run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby

import pytest

from tenants_api.outbound.client import MAX_BODY_PIECES, PIECES_PER_TURN, read_body
from tenants_api.outbound.errors import RealmFault


async def crumbs(count: int, *, seen: list[str]) -> AsyncIterator[bytes]:
    for _ in range(count):
        seen.append("piece")
        yield b" "


async def other(seen: list[str]) -> None:
    while True:
        seen.append("turn")
        await asyncio.sleep(0)


async def test_others_have_their_turn_after_a_few_pieces() -> None:
    seen: list[str] = []
    others = asyncio.create_task(other(seen))
    await asyncio.sleep(0)
    body = await read_body(crumbs(MAX_BODY_PIECES, seen=seen), max_bytes=MAX_BODY_PIECES, url="https://id.example")
    others.cancel()
    assert body == b" " * MAX_BODY_PIECES
    assert max(len(list(run)) for what, run in groupby(seen) if what == "piece") == PIECES_PER_TURN


@pytest.mark.parametrize(
    ("count", "most", "why"),
    [(MAX_BODY_PIECES + 1, 10**6, f"more than {MAX_BODY_PIECES} pieces"), (101, 100, "more than 100 bytes")],
)
async def test_more_than_is_read_is_refused_and_the_rest_left(count: int, most: int, why: str) -> None:
    seen: list[str] = []
    with pytest.raises(RealmFault) as fault:
        await read_body(crumbs(10 * count, seen=seen), max_bytes=most, url="https://id.example")
    assert (fault.value.reason, len(seen)) == ("TooLarge", count)
    assert why in fault.value.message
