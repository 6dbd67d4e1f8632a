"""B to E of the catalogue: every token of the battery is refused, for the reason that its row gives.

What a row is about is said once, in docs/security.md, and names its test; its tokens are in `battery`.
"""

from __future__ import annotations

import re

import pytest

from tests.attacks.arena import Arena, differing
from tests.attacks.battery import ROWS
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
HERE = "`tests/attacks/test_battery.py`"
RULES = dict(re.findall(rf"^\| (\w+) \| ([^|]+) \| [^|]+ \| [^|]*{HERE}[^|]*\|$", PAGE, re.MULTILINE))


def test_every_row_of_the_battery_is_on_the_page() -> None:
    assert set(RULES) == set(ROWS)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.xdist_group(f"battery-{row[0].lower()}")) for row in ROWS],
    ids=lambda row: f"{row} {RULES.get(row)}",
)
async def test_hostile_tokens_are_refused(arena: Arena, face: str, row: str) -> None:
    assert await differing(arena, face, ROWS[row]) == {}
