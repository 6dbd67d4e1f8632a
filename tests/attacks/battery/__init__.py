"""Every hostile token that is known by name, row by row of the catalogue; tests/attacks drives them through both faces.

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


def row(name: str) -> tuple[Hostile, ...]:
    """The tokens of one row of the catalogue, such as `B3`; KeyError when there are none."""
    found = tuple(case for case in BATTERY if case.row == name)
    if not found:
        raise KeyError(name)
    return found
