"""The hot paths call no more functions than the committed baseline allows: counted, so that no slow machine fails it.

A benchmark of times would need a quiet machine; `scripts/bench --guard` counts the allocations too.
"""

from __future__ import annotations

import gc

import pytest

from benchmarks.guard import baseline_of, calls_of, counted, warm_pass, worse
from benchmarks.verification import Kind
from tenants_api import strict_json
from tests.support.machine import require

pytestmark = pytest.mark.anyio
# Newer Pythons call less (comprehensions are inlined): where they have no line of their own, the oldest one's holds.
BASELINE = baseline_of() or baseline_of("3.11")


def calls(found: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in found.items() if name.endswith("calls")}


async def test_hot_paths_call_no_more_than_the_baseline_allows() -> None:
    require("orjson", available=strict_json.orjson is not None, how="pip install tenants-api[fast]")
    found = calls(await counted())
    assert len(found) == 4
    assert worse(found, baseline=BASELINE) == []


async def test_a_call_more_is_counted() -> None:
    kind = Kind("RS256")
    (raw,) = kind.tokens(1)
    await kind.verified([raw])
    once = warm_pass(kind)

    def more() -> int:
        return len(raw)

    async def once_and_more(token: str) -> None:
        more()
        await once(token)

    plain, grown = calls_of(once, raw), calls_of(once_and_more, raw)
    assert grown["python calls"] == plain["python calls"] + 2  # `more`, and the pass around it
    assert grown["c calls"] == plain["c calls"] + 1
    assert worse(grown, baseline=plain)
    assert not worse(plain, baseline=plain)


async def test_collection_within_a_pass_is_not_counted() -> None:
    """Whoever is told of collections (a test library) is called in the middle of whatever runs."""
    kind = Kind("RS256")
    raws = kind.tokens(1)
    await kind.verified(raws)
    told: list[str] = []

    def tell(phase: str, info: dict[str, int]) -> None:
        told.append(phase)

    alone = calls_of(warm_pass(kind), raws[0])
    before = gc.get_threshold()
    gc.callbacks.append(tell)
    gc.set_threshold(1)  # a collection at nearly every allocation
    try:
        beside = calls_of(warm_pass(kind), raws[0])
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(tell)
    assert beside == alone
    assert told, "there were collections"
    assert gc.isenabled()
