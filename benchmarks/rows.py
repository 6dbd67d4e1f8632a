"""One figure of the table: where it comes from, and between which bounds it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of one figure."""

    what: str
    module: str
    name: str
    must: float
    reach: float | None = None
    at_least: bool = False

    def kept(self, value: float, *, bound: float | None) -> bool:
        if bound is None:
            return False
        return value >= bound if self.at_least else value <= bound

    def used(self, value: float) -> float:
        """The part of its bound that a value uses up: 1 is just kept, more is not."""
        part, whole = (self.must, value) if self.at_least else (value, self.must)
        return part / whole if whole else math.inf if part else 0.0
