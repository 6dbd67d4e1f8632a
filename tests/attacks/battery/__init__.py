"""Every hostile token that is known by name, row by row of the catalogue; test_battery drives them through both faces.

Here stand data only: how each token is made, why the operator is told it was refused, and what the server answers.
"""

from __future__ import annotations

from tests.attacks.battery import algorithm, claims, header, issuers, shape, signature
from tests.attacks.battery.cases import Hostile

BATTERY: tuple[Hostile, ...] = (
    *shape.CASES,
    *algorithm.CASES,
    *signature.CASES,
    *header.CASES,
    *claims.CASES,
    *issuers.CASES,
)

ROWS: dict[str, list[Hostile]] = {}
for _case in BATTERY:
    ROWS.setdefault(_case.row, []).append(_case)
NOTHING_ASKED = ("C9", "E1")  # rows whose tokens may send no request anywhere
